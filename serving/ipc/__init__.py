"""How the processes of a replica talk: frames on sockets, both ends of them, numbers in shared memory."""
