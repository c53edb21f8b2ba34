"""The communication between the processes of a replica: frames on sockets, both ends of them, numbers in shared
memory."""
