"""budget.burn: does the candidate spend the error budget faster than the objective allows, by its own doing?"""
