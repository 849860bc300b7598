"""Classes that no training example shows: named by their attributes, or by words with a pair of encoders.

classes       what describes classes: a table of attributes, or a list of names and descriptions
methods       from features to attributes, and from attributes to classes: DAP and ESZSL
fit           the method chosen on classes held out of training, fitted, kept in a run, and evaluated
few           a few labelled examples of the new classes added to that (Tip-Adapter)
namer         a frozen network and a fixed layer that knows the classes of a file; encoders such as CLIP are of
              `tfl.modalities.image.pair`
predictor     what `tfl predict --classes` asks
ship          an export that names these classes
evaluation    how often labelled examples are named right
"""
