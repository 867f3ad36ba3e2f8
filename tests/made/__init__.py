"""What tests are made of: layers, data and tiny runs, which several files of tests share. No test stands here."""
