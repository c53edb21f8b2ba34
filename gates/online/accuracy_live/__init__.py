"""accuracy.live: is the candidate wrong more often on its own live requests, where labels arrived?"""
