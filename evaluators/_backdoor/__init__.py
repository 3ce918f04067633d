"""Stages of the backdoor probe, called forward."""
