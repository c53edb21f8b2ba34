"""experiment.ratio and experiment.inputs: is the comparison sound at all?

Traffic that is not divided as configured, or versions that see different inputs, make every comparison doubtful. That
says something about the experiment and nothing about the candidate: such a release is held, not rolled back.
"""
