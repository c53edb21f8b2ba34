"""accuracy.shadow: did the candidate answer more requests wrongly than stable, on the same requests?"""
