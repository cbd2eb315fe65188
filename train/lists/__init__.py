"""What is counted rather than fitted: item-item lists, top lists, quorums, and the seed sets of users."""
