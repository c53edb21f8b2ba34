"""errors.shadow and errors.live: does the candidate fail more requests than the stable version?"""
