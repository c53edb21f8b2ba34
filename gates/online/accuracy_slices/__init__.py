"""accuracy.slices: did the candidate lose accuracy in a part of the requests that the policy does not name?"""
