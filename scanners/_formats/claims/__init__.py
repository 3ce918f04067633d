"""What a repository says of itself: base, data, license, domain, training. Claims, not facts."""
