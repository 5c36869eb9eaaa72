"""The check before the model (out-of-distribution check): is this a frontal chest X-ray of sound quality?"""
