"""What operators do across several areas."""
