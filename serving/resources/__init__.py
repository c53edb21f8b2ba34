"""The resources of a replica: cores, memory, control groups, and the limits that it sets itself."""
