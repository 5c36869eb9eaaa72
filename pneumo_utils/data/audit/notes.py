"""How to read each section of the audit's page."""

COUNTS = (
    "Bacterial and viral are read from the file names. Different pixels: identical films counted once. A "
    "figure is only as sure as its smaller class is large."
)
PATIENTS = (
    "The coarse key takes person12_bacteria and person12_virus for one child, the fine key for two. Where "
    "the coarse key finds patients in two splits and the fine key none, the numbers probably start again "
    "with each series. The coarse key is the safe one: it may take two children for one, never one for "
    "two."
)
REPEATS = (
    "Identical: every pixel the same, whatever the file. Nearly the same: a perceptual hash proposes and "
    "the fine detail decides (correlation 0.85 or more), because chest films of different patients look "
    "alike. Judge such a pair by eye: in one exposure, ribs, vessels and markers coincide."
)
CLASSES = (
    "Where the two outlines part, a fact of the file tells the label. Squashing all films to one square "
    "takes size and aspect out of the file, not out of the picture: there, a wide film becomes a narrow "
    "chest."
)
SHORTCUTS = (
    "AUROC: take one film of each class at random; how often does the fact rank the one with "
    "pneumonia higher? 0.5 is a coin, 1 is always. From a logistic regression on each fact alone, "
    "cross-validated over patients on {films}, with its 95 % interval. Where all films have one size "
    "and quality, file bytes measure fine detail, lungs included. The last two see the film as "
    "16 x 16 pixels. The ellipses are the same in all films, so some lung stays outside: a high score "
    "with covered lungs is a strong hint, not a proof."
)
MARKS = (
    "Small, bright, sharp-edged things in the outer quarter; the pictures are evenly picked from all "
    "films that have some. On ChestXRay2017 about four in five were letters or digits and most others "
    "metal, and more than half of the films without a mark did carry a faint or small letter: take "
    "the shares as lowest values. An empty border is a strip of one grey level at least 2 % deep."
)
NO_FILES = "No damaged, odd or stray file was found."
