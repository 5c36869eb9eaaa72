"""An answer to each exercise of each lesson that is wrong; the lesson's check has to say so."""

WRONG_ANSWERS = {
    "01_data_exploration.ipynb": (
        "answer_1 = [0.1, 0.1, 0.1]",
        "answer_2 = lambda name: name",
        "answer_3 = 0.1",
    ),
    "02_train_cnn.ipynb": (
        "answer_1 = [0.1, 0.2, 0.3]",
        "answer_2 = -1.0",
        "answer_3 = 1.1",
    ),
    "03_train_resnet.ipynb": (
        "answer_1 = 0.1",
        'answer_2 = [{"params": list(model.parameters()), "weight_decay": 0.05}]',
        "answer_3 = -1",
    ),
    "04_evaluate_and_compare.ipynb": (
        "answer_1 = (0.5, 0.5, 0.5, -1.0)",
        "answer_2 = 1.5",
        "answer_3 = (0.9, 0.95)",
    ),
    "05_interactive_inference.ipynb": (
        "answer_1 = 2.0",
        "answer_2 = 1.0",
        "answer_3 = 20",
    ),
}
