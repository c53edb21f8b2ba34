"""Processes of this machine: replicas, servers, their supervisor."""
