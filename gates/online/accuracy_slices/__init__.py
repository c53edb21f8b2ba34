"""accuracy.slices: did the candidate lose accuracy in a part of the requests that nobody named?"""
