"""Proves what the service claims, and builds what watches it: drills, evidence, scores, and the mixin."""
