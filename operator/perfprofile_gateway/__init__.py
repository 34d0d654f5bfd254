"""The gateway: takes node reports and profiles from agents, keeps them, and serves merged profiles through the Kubernetes API."""
