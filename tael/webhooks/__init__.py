"""Webhooks to merchants: the queue and its deliveries."""
