"""A simulated world for the gates: releases of which the truth is known, watched minute by minute.

``answers`` is what two versions say to the same requests, ``weather`` what happens to both alike, ``traffic`` the
evidence that a controller would gather of it, ``release`` the real gates and the promotion rule on top, ``rivals`` the
rules of other tools on the same evidence, ``scenarios`` what is played, ``runs`` many of them, in several processes.
"""
