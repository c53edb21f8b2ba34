"""Candidates whose worth is known, on a service's own recorded evidence: one equal to stable, and ones made worse.

What both versions have in common is taken from the record in blocks of consecutive moments, so that load, incidents
and errors keep their ups and downs (circular block bootstrap; the block's length is the cube root of the number of
moments: Hall, Horowitz & Jing 1995). Within a moment each version's requests are drawn anew from what *stable* did
then: an equal candidate is equal in law, whatever the recorded candidate was like. Pairs are drawn from all recorded
ones together with their mirror images, which makes the two versions exchangeable. A regression is then put in.
"""
