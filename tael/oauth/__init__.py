"""Users of merchants, their sign-in, and OAuth 2.0: codes and tokens for the apps that they permit."""
