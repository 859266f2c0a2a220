"""WeChat Pay V2 (XML and an API key), as a service provider."""
