"""recall:CLASS and false_positives:CLASS: does the candidate keep what the policy asks of a class?"""
