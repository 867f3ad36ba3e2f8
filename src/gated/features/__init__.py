"""What a network reads of people's files: tokens and symbols of text, log-mel bands of sound."""
