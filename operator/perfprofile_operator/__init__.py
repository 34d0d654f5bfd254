"""The Kubernetes controller: kopf says when, reconcile observes, decide decides, the cluster room applies."""
