"""Delivery of finished profiles and node reports."""
