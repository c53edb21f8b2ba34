"""Text from outside and to the outside, the same way in every part: read strictly, shown harmlessly."""
