"""calibration.shadow: did the candidate's confidence move away from how often it is right?"""
