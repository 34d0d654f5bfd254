"""The profile: model, wire format, merge, checks and text form. Pure."""
