"""The Kubernetes API, for operator and gateway: typed calls, one error type, absent is None. The only room that knows the client."""
