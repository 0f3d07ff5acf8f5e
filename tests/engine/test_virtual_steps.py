"""Steps that are taken before a step and taken back, on the backend that runs."""

import keras
import numpy as np
from tiny import labels, make, ready_views


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def step(model):
    model.fit(ready_views("FST"), labels(8), batch_size=8, shuffle=False, verbose=0)


def assert_equal(variables, others):
    for variable, other in zip(variables, others, strict=True):
        np.testing.assert_allclose(numpy(variable), numpy(other), rtol=1e-5, atol=1e-6, err_msg=other.path)


def test_they_leave_no_trace_but_in_what_the_method_keeps():
    """Views are ready and pseudo-labels weigh nothing, so that a virtual step is a step of a plain model."""
    models = []
    for num_virtual_steps in (2, 0):
        model = make("FST", views=None, num_virtual_steps=num_virtual_steps, unlabeled_weight=0.0)
        model.compile(keras.optimizers.AdamW(1e-2, weight_decay=0.1, clipnorm=1.0))
        step(model)
        models.append(model)
    looking, plain = models
    assert int(looking.clock.step) == 1 and int(looking.optimizer.iterations) == 1
    assert_equal(looking.trainable_variables, plain.trainable_variables)
    assert_equal(looking.optimizer.variables, plain.optimizer.variables)
    assert len(plain.encoder.non_trainable_variables) == 4
    assert_equal(looking.encoder.non_trainable_variables, plain.encoder.non_trainable_variables)
    # In the first step the teacher becomes the student after two virtual ones.
    step(plain)
    of_teacher = [v for v in looking.teacher_encoder.weights if "moving" not in v.path]
    assert_equal(of_teacher, plain.encoder.trainable_variables)
    assert_equal(looking.teacher_classifier.weights, plain.classifier.trainable_variables)
    assert np.abs(numpy(of_teacher[0]) - numpy(looking.encoder.trainable_variables[0])).max() > 1e-3
