"""What a replica may use and uses: cores, memory, control groups, and the limits that it sets itself."""
