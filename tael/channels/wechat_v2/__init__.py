"""WeChat Pay V2 (XML and an API key), of direct merchants and of service providers' sub-merchants."""
