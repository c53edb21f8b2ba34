"""The objects that Serin writes, each as one pure function: what is known goes in, a manifest comes out.

Every field that the server would fill in is written, so that what is read back is what was written.
"""
