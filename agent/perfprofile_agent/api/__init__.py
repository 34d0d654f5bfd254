"""The contract between people, operator, gateway and agent: frozen models, and nothing that acts.

The models are the one source of truth. The CRD files in ``charts/`` and ``deploy/`` and the reference page in ``docs/`` are
generated from them (``make generate``), and operator, gateway and agent parse with them.
"""
