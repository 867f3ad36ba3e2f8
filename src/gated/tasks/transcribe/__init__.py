"""Transcription: frames of sound, or columns of a line of print, to text.

run = transcribe.fit("train.csv", valid="dev.csv", out="runs/digits")
run.predict("call.wav")         a string; of a list of files a list
run.score("test.csv")           word and character error rates
"""
