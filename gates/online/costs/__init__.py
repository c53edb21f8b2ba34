"""cost.shadow: do the candidate's wrong answers cost more than stable's?"""
