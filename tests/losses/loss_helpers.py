"""Gradients on the three backends, and each loss written again as a NumPy float64 loop from its equation."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import keras
import numpy as np
from compiled_on_jax import compiled_on_jax
from keras import ops

from kerassl import losses

BACKEND = keras.backend.backend()


@functools.cache
def jax_value_and_grad(fn, arguments, compiled):
    """Cached, so that the tests of one loss share its compilation."""
    import jax

    def total(*tensors):
        value = fn(*tensors)
        return value.sum(), value

    run = jax.value_and_grad(total, argnums=tuple(range(arguments)), has_aux=True)
    return jax.jit(run) if compiled else run


def value_and_grad(fn, *arrays, compiled=BACKEND == "jax", dtype="float32", dynamic_batch=False):
    """Returns the value of `fn(*arrays)` and the gradient of its sum for each array, zeros where detached."""
    arrays = [np.asarray(a, "float32") for a in arrays]
    if BACKEND == "tensorflow":
        import tensorflow as tf

        def run(*tensors):
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                value = fn(*tensors)
            grads = tape.gradient(value, tensors, unconnected_gradients="zero")
            return value, grads

        tensors = [tf.cast(a, dtype) for a in arrays]
        if compiled:
            run = tf.function(run, jit_compile=True)
        if dynamic_batch:
            shapes = [(None, *a.shape[1:]) for a in arrays]
            run = tf.function(run, input_signature=[tf.TensorSpec(s, dtype) for s in shapes])
        value, grads = run(*tensors)
    elif BACKEND == "jax":
        import jax.numpy as jnp

        (_, value), grads = jax_value_and_grad(fn, len(arrays), compiled)(
            *[jnp.asarray(a, dtype) for a in arrays]
        )
    else:
        import torch

        tensors = [torch.tensor(a).to(getattr(torch, dtype)).requires_grad_() for a in arrays]
        value = fn(*tensors)
        found = torch.autograd.grad(value.sum(), tensors, allow_unused=True)
        grads = [torch.zeros_like(t) if g is None else g for g, t in zip(found, tensors, strict=True)]
    numpy = [ops.convert_to_numpy(ops.cast(ops.stop_gradient(g), "float32")) for g in grads]
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    return ops.convert_to_numpy(ops.stop_gradient(value)), numpy


@functools.cache
def fast(loss):
    """Returns `loss` of arrays, compiled as one piece on JAX."""
    compiled = compiled_on_jax(loss)
    return lambda *arrays, **kwargs: compiled(*map(np.asarray, arrays), **kwargs)


def finite_differences(fn, arrays, which, step=1e-5):
    """Central differences of a float64 `fn(*arrays)` for argument number `which`."""
    arrays = [np.array(a, "float64") for a in arrays]
    grad = np.zeros_like(arrays[which])
    for index in np.ndindex(grad.shape):
        value = arrays[which][index]
        arrays[which][index] = value + step
        above = fn(*arrays)
        arrays[which][index] = value - step
        grad[index] = (above - fn(*arrays)) / (2 * step)
        arrays[which][index] = value
    return grad


def unit(x):
    return x / np.linalg.norm(x)


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def nt_xent_reference(z1, z2, temperature=0.1):
    rows = [unit(r) for r in (*z1, *z2)]
    n = len(z1)
    each = []
    for i in range(2 * n):
        positive = (i + n) % (2 * n)
        scores = [rows[i] @ rows[k] / temperature for k in range(2 * n)]
        others = np.array([scores[k] for k in range(2 * n) if k != i])
        log_sum = others.max() + np.log(np.exp(others - others.max()).sum())
        each.append(log_sum - scores[positive])
    return np.mean(each)


def dcl_reference(z1, z2, temperature=0.1, weights=None):
    rows = [unit(r) for r in (*z1, *z2)]
    n = len(z1)
    each = []
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        scores = [rows[i] @ rows[k] / temperature for k in range(2 * n) if k not in (i, partner)]
        others = np.log(np.sum(np.exp(scores))) if scores else 0.0
        weight = 1.0 if weights is None else weights[i % n]
        each.append(others - weight * (rows[i] @ rows[partner]) / temperature)
    return np.mean(each)


def mean_similarities(z1, z2, temperature):
    rows, n = [unit(r) for r in (*z1, *z2)], len(z1)
    temperatures = np.broadcast_to(temperature, n)
    means = np.ones((n, 2))
    for i in range(2 * n):
        others = [np.exp(rows[i] @ rows[k] / temperatures[i % n]) for k in range(2 * n) if (k - i) % n]
        means[i % n, i // n] = np.mean(others) if others else 1.0
    return means


def weighted_negatives(z1, z2, normalizers, temperature):
    rows, n = [unit(r) for r in (*z1, *z2)], len(z1)
    temperatures = np.broadcast_to(temperature, n)
    pulls = np.zeros((n, 2))
    for i in range(2 * n):
        for k in range(2 * n):
            if (k - i) % n:
                s = rows[i] @ rows[k]
                p = np.exp(s / temperatures[i % n]) / normalizers[i % n, i // n]
                pulls[i % n, i // n] += p * s / (2 * (n - 1))
    return pulls


def sogclr_reference(z1, z2, normalizers=None, temperature=0.1):
    if normalizers is None:
        normalizers = mean_similarities(z1, z2, temperature)
    positives = np.array([unit(a) @ unit(b) for a, b in zip(z1, z2, strict=True)])
    return np.mean(weighted_negatives(z1, z2, normalizers, temperature).sum(axis=1) - 2 * positives)


def sogclr_of_the_batch(z1, z2, reduction="mean"):
    return losses.sogclr(z1, z2, losses.log_mean_similarities(z1, z2), reduction=reduction)


def dclw_weights(z1, z2, sigma=0.5):
    grown = np.array([np.exp(unit(a) @ unit(b) / sigma) for a, b in zip(z1, z2, strict=True)])
    return 2 - grown / grown.mean()


def dclw_reference(z1, z2):
    return dcl_reference(z1, z2, weights=dclw_weights(z1, z2))


def info_nce_reference(q, k, queue=None, temperature=0.1):
    each = []
    for i in range(len(q)):
        negatives = [k[j] for j in range(len(k)) if j != i] if queue is None else queue
        scores = np.array([unit(q[i]) @ unit(row) / temperature for row in (k[i], *negatives)])
        each.append(-np.log(softmax(scores)[0]))
    return np.mean(each)


def hard_contrastive_reference(q, k, queue=None, temperature=0.1, hard_fraction=0.5):
    each = []
    for i in range(len(q)):
        negatives = [k[j] for j in range(len(k)) if j != i] if queue is None else queue
        scores = sorted(unit(q[i]) @ unit(row) / temperature for row in negatives)
        kept = scores[len(scores) - max(1, round(hard_fraction * len(scores))) :] if scores else []
        each.append(-np.log(softmax(np.array([unit(q[i]) @ unit(k[i]) / temperature, *kept]))[0]))
    return np.mean(each)


def dense_info_nce_reference(q, k, q_features, k_features, queue=None, temperature=0.2):
    each = []
    for b, s in np.ndindex(q.shape[:2]):
        cosines = [unit(q_features[b, s]) @ unit(row) for row in k_features[b]]
        matched = k[b, int(np.argmax(cosines))]
        scores = np.array([unit(q[b, s]) @ unit(row) / temperature for row in (matched, *queue)])
        each.append(-np.log(softmax(scores)[0]))
    return np.mean(each)


def ressl_reference(q, k, queue, student_temperature=0.1, teacher_temperature=0.04):
    each = []
    for a, b in zip(q, k, strict=True):
        teacher = softmax(np.array([unit(b) @ unit(row) for row in queue]) / teacher_temperature)
        student = softmax(np.array([unit(a) @ unit(row) for row in queue]) / student_temperature)
        each.append(-np.sum(teacher * np.log(student)))
    return np.mean(each)


def cacr_reference(z1, z2, positive_temperature=1.0, negative_temperature=0.9):
    views = [[unit(r) for r in z] for z in (z1, z2)]
    attraction, repulsion = [], []
    for x, i in np.ndindex(2, len(z1)):
        distances = [np.sum((views[x][i] - views[v][i]) ** 2) for v in range(2) if v != x]
        attraction.append(softmax(positive_temperature * np.array(distances)) @ distances)
    for i in range(len(z1)):
        distances = [np.sum((views[0][i] - views[1][j]) ** 2) for j in range(len(z1)) if j != i]
        weights = softmax(-negative_temperature * np.array(distances)) if distances else []
        repulsion.append(-np.dot(weights, distances))
    return np.mean(attraction) + np.mean(repulsion)


def sort_reference(values, steepness):
    """The permutation of an odd-even network, entry (i, j) the part of value i at place j."""
    n = len(values)
    values, permutation = np.array(values, "float64"), np.eye(n)
    for layer in range(n):
        for a in range(layer % 2, n - 1, 2):
            alpha = np.arctan(steepness * (values[a + 1] - values[a])) / np.pi + 0.5
            exchange = np.array([[alpha, 1 - alpha], [1 - alpha, alpha]])
            values[a : a + 2] = values[a : a + 2] @ exchange
            permutation[:, a : a + 2] = permutation[:, a : a + 2] @ exchange
    return permutation


def groco_reference(*views, num_negatives=3, steepness=1.0, detached=None):
    fixed = [[unit(r) for r in z] for z in (views if detached is None else detached)]
    each = []
    for v, i in np.ndindex(len(views), len(views[0])):
        anchor = unit(views[v][i])
        negatives = sorted(anchor @ fixed[v][j] for j in range(len(views[0])) if j != i)
        negatives = ([-1.0] * num_negatives + negatives)[-num_negatives:]
        positives = sorted(anchor @ fixed[u][i] for u in range(len(views)) if u != v)
        permutation = sort_reference(negatives + positives, steepness)
        for entry, row in enumerate(permutation):
            own = row[:num_negatives] if entry < num_negatives else row[num_negatives:]
            each.append(-np.log(own.sum()))
    return np.mean(each)


def log_likelihood(a, b, temperature, regularization):
    penalty = len(a) / 2 * np.log(temperature) + 1 / temperature
    return unit(a) @ unit(b) / temperature - regularization * penalty


def amcl_temperatures(rows, others):
    """Some smooth function of all pairs, `(heads, n, m)`, in keras.ops or NumPy as its arguments are."""
    m = np if isinstance(rows, np.ndarray) else ops

    def of_each(x):
        return m.transpose(m.sum(m.sin(m.reshape(x, (-1, *x.shape[-2:]))), axis=-1))

    of_rows, of_others = of_each(rows), of_each(others)
    return 0.5 + 0.2 * m.sin(of_rows[:, :, None] + 2 * of_others[:, None, :])


def amcl_with_temperatures(z1, z2, **kwargs):
    rows = ops.concatenate([ops.cast(z, "float32") for z in (z1, z2)])
    return losses.amcl(z1, z2, amcl_temperatures(rows, rows), **kwargs)


def amcl_reference(z1, z2, regularization=0.1):
    rows = np.concatenate([z1, z2])
    temperatures = amcl_temperatures(rows, rows)
    count = len(rows)
    each = []
    for i in range(count):
        heads = []
        for c in range(rows.shape[1]):
            scores = [
                log_likelihood(rows[i, c], rows[k, c], temperatures[c, i, k], regularization)
                for k in range(count)
            ]
            partner = scores[(i + count // 2) % count]
            heads.append(np.log(sum(np.exp(scores[k] - partner) for k in range(count) if k != i)))
        each.append(np.sum(heads))
    return np.mean(each)


def amcl_queue_with_temperatures(q, k, **kwargs):
    of_keys = ops.cast(k, "float32")
    to_own, to_queue = (amcl_temperatures(ops.cast(q, "float32"), x) for x in (of_keys, HEADS_QUEUE))
    return losses.amcl_queue(q, k, HEADS_QUEUE, ops.diagonal(to_own, axis1=1, axis2=2), to_queue, **kwargs)


def amcl_queue_reference(q, k, regularization=0.1):
    to_own, to_queue = amcl_temperatures(q, k), amcl_temperatures(q, HEADS_QUEUE.astype("float64"))
    each = []
    for i in range(len(q)):
        total = 0.0
        for c in range(q.shape[1]):
            own = log_likelihood(q[i, c], k[i, c], to_own[c, i, i], regularization)
            rows = [
                log_likelihood(q[i, c], row[c], temperature, regularization)
                for row, temperature in zip(HEADS_QUEUE, to_queue[c, i], strict=True)
            ]
            total += np.log(1 + sum(np.exp(row - own) for row in rows))
        each.append(total)
    return np.mean(each)


def amcl_barlow_twins_reference(z1, z2, redundancy_weight=0.005, regularization=0.1):
    total, (count, num_heads, dim) = 0.0, z1.shape
    for c in range(num_heads):
        a, b = ((z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + 1e-5) for z in (z1[:, c], z2[:, c]))
        for i in range(dim):
            for j in range(dim):
                temperature = DIMENSION_TEMPERATURES[c, i, j]
                error = sum(a[n, i] * b[n, j] for n in range(count)) / count - (i == j)
                penalty = regularization * (np.log(temperature) / 2 + 1 / temperature)
                weight = 1 if i == j else redundancy_weight
                total += weight * (error**2 / temperature + penalty)
    return total


def look_reference(q, labels, num_neighbors=3, temperature=0.1):
    each = []
    for row, label in zip(q, labels, strict=True):
        known = [j for j in range(len(QUEUE)) if QUEUE_LABELS[j] >= 0]
        weights = {j: np.exp(unit(row) @ unit(QUEUE[j]) / temperature) for j in known}
        near = sorted(known, key=weights.get)[-num_neighbors:]
        of_class = sorted((j for j in known if QUEUE_LABELS[j] == label), key=weights.get)
        near = {*near, *of_class[-1:]}
        right = sum(weights[j] for j in near if QUEUE_LABELS[j] == label)
        each.append(np.log(sum(weights[j] for j in near) / right) if of_class else 0.0)
    return np.mean(each)


def cross_entropy_reference(logits, labels, label_smoothing=0.0):
    each = []
    for i in np.flatnonzero(labels >= 0):
        p = np.exp(logits[i] - logits[i].max())
        uniform = label_smoothing / len(p)
        target = [uniform + (1 - label_smoothing) * (c == labels[i]) for c in range(len(p))]
        each.append(-sum(t * np.log(q) for t, q in zip(target, p / p.sum(), strict=True)))
    return np.mean(each)


def prototypical_reference(z, labels, prototypes=None):
    each = []
    for row, label in zip(z, labels, strict=True):
        distances = np.array([np.sum((row - c) ** 2) for c in prototypes])
        each.append(-np.log(softmax(-distances)[int(label)]))
    return np.mean(each)


def nearest_image_reference(distances):
    return np.mean([min(row[k] for row in distances) for k in range(distances.shape[1])])


def nearest_prototype_reference(distances):
    return np.mean([min(row) for row in distances])


def class_cost_reference(distances, labels, of_own_class):
    each = []
    for row, label in zip(distances, labels, strict=True):
        pairs = zip(row, PROTOTYPE_CLASSES, strict=True)
        each.append(min(distance for distance, c in pairs if (c == label) == of_own_class))
    return np.mean(each)


def orthogonality_reference(prototypes):
    total = 0.0
    for of_class in prototypes:
        for i, j in np.ndindex(len(of_class), len(of_class)):
            total += abs(unit(of_class[i]) @ unit(of_class[j]) - (i == j))
    return total


def between_classes_reference(prototypes, extreme):
    pairs = [(a, b) for a, b in np.ndindex(len(prototypes), len(prototypes)) if a != b]
    each = [extreme(unit(p) @ unit(q) for p in prototypes[a] for q in prototypes[b]) for a, b in pairs]
    return np.mean(each) if each else 0.0


def prototype_nll_reference(z, labels):
    each = []
    for row, label in zip(z, labels, strict=True):
        mean, std = PROTOTYPES[int(label)], np.exp(0.2 * PROTOTYPES[int(label)])
        density = np.prod(np.exp(-(((row - mean) / std) ** 2) / 2) / (std * np.sqrt(2 * np.pi)))
        each.append(np.clip(-np.log(density), -1, 1e4))
    return np.mean(each)


def palm_reference(z, weights):
    each = []
    for row, a in zip(z, weights, strict=True):
        logits = np.array([unit(row) @ unit(p) for p in PROTOTYPES.astype("float64")]) / 0.1
        each.append(-sum(w * np.log(softmax(logits)[k]) for k, w in enumerate(a)))
    return np.mean(each)


def sup_con_reference(z, labels, temperature=0.1):
    rows = [unit(r) for r in z]
    each = []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        positives = [p for p in others if labels[p] == labels[i]]
        total = sum(np.exp(rows[i] @ rows[a] / temperature) for a in others)
        terms = [np.log(total) - rows[i] @ rows[p] / temperature for p in positives]
        each.append(np.mean(terms) if terms else 0.0)
    return np.mean(each)


def barlow_twins_reference(z1, z2, redundancy_weight=0.005):
    n, d = z1.shape
    total = 0.0
    for i in range(d):
        for j in range(d):
            a = (z1[:, i] - z1[:, i].mean()) / np.sqrt(z1[:, i].var() + 1e-5)
            b = (z2[:, j] - z2[:, j].mean()) / np.sqrt(z2[:, j].var() + 1e-5)
            c = sum(a[k] * b[k] for k in range(n)) / n
            total += (1 - c) ** 2 if i == j else redundancy_weight * c**2
    return total


def variance_hinge_reference(z):
    return np.mean([max(0.0, 1 - np.sqrt(z[:, d].var(ddof=1) + 1e-4)) for d in range(z.shape[1])])


def off_diagonal_covariance_reference(z):
    n, d = z.shape
    total = 0.0
    for i in range(d):
        for j in range(d):
            if i != j:
                total += (np.sum((z[:, i] - z[:, i].mean()) * (z[:, j] - z[:, j].mean())) / (n - 1)) ** 2
    return total / d


def vicreg_reference(z1, z2, invariance=25.0, variance=25.0, covariance=1.0):
    distance = np.mean([(a - b) ** 2 for a, b in zip(z1.ravel(), z2.ravel(), strict=True)])
    hinge = np.mean([variance_hinge_reference(z) for z in (z1, z2)])
    return (
        invariance * distance
        + variance * hinge
        + covariance * sum(off_diagonal_covariance_reference(z) for z in (z1, z2))
    )


def feature_redundancy_reference(z1, z2, targets1, targets2):
    dim, agree, others = z1.shape[1], [], []
    for targets, z in ((targets1, z2), (targets2, z1)):
        rows = np.array([unit(row) for row in targets])
        c = np.array([[unit(rows[:, d]) @ unit(z[:, e]) for e in range(dim)] for d in range(dim)])
        agree.append(np.mean([(c[d, d] - 1) ** 2 for d in range(dim)]))
        others.append(np.mean([c[d, e] ** 2 for d in range(dim) for e in range(dim) if d != e]))
    return (np.sqrt(np.mean(agree)) + np.sqrt(np.mean(others))) / 2


def vibcreg_reference(z1, z2, invariance=25.0, variance=25.0, covariance=200.0):
    total = invariance * np.mean((z1 - z2) ** 2)
    for z in (z1, z2):
        total += variance * variance_hinge_reference(z)
        d = z.shape[1]
        columns = [z[:, j] - z[:, j].mean() for j in range(d)]
        squares = [(unit(columns[i]) @ unit(columns[j])) ** 2 for i in range(d) for j in range(d) if i != j]
        total += covariance * sum(squares) / d**2
    return total


def vicregl_local_reference(maps1, maps2, centers1, centers2, num_matches=3):
    total = 0.0
    for a, b, at_a, at_b in ((maps1, maps2, centers1, centers2), (maps2, maps1, centers2, centers1)):
        for keys_a, keys_b, kept in ((a, b, a.shape[1]), (at_a, at_b, num_matches)):
            x, y = [], []
            for i in range(len(a)):
                distances = [[np.sum((p - q) ** 2) for q in keys_b[i]] for p in keys_a[i]]
                nearest = sorted(range(a.shape[1]), key=lambda j, d=distances: min(d[j]))[:kept]
                x.append([a[i, j] for j in sorted(nearest)])
                y.append([b[i, int(np.argmin(distances[j]))] for j in sorted(nearest)])
            x, y = np.array(x), np.array(y)
            cells = [z[:, j] for z in (x, y) for j in range(kept)]
            total += (
                25 * np.mean((x - y) ** 2)
                + 25 * np.mean([variance_hinge_reference(cell) for cell in cells])
                + np.mean([off_diagonal_covariance_reference(cell) for cell in cells])
            )
    return total / 2


def mixing_regularizer_reference(z1, z2, z_mixed, mixing, permutation):
    a, b, m = ((z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5) for z in (z1, z2, z_mixed))
    total, n = 0.0, len(a)
    for view in (a, b):
        target = sum(mixing * np.outer(a[k], view[k]) for k in range(n)) / n
        target = target + sum((1 - mixing) * np.outer(b[permutation[k]], view[k]) for k in range(n)) / n
        total += np.sum((sum(np.outer(m[k], view[k]) for k in range(n)) / n - target) ** 2)
    return total


def wmse_reference(*views, epsilon=1e-4):
    white = []
    for z in views:
        covariance = np.cov(z.T)
        factor = np.linalg.cholesky(covariance + epsilon * np.diag(np.diag(covariance)))
        white.append([np.linalg.solve(factor, row - z.mean(0)) for row in z])
    pairs = [(i, j) for i in range(len(views)) for j in range(i)]
    return np.mean(
        [2 - 2 * unit(a) @ unit(b) for i, j in pairs for a, b in zip(white[i], white[j], strict=True)]
    )


def negative_cosine_reference(p, z):
    return -np.mean([unit(a) @ unit(b) for a, b in zip(p, z, strict=True)])


def byol_reference(p, z):
    return np.mean([np.sum((unit(a) - unit(b)) ** 2) for a, b in zip(p, z, strict=True)])


def tico_reference(z1, z2, covariance, covariance_weight=8.0):
    each = []
    for a, b in zip(z1, z2, strict=True):
        a, b = unit(a), unit(b)
        contrast = sum(a[i] * covariance[i, j] * a[j] for i, j in np.ndindex(covariance.shape))
        each.append(1 - a @ b + covariance_weight * contrast)
    return np.mean(each)


def mmcr_reference(z1, z2, local_weight=0.0):
    views = [np.array([unit(row) for row in z]) for z in (z1, z2)]
    value = -np.linalg.svd((views[0] + views[1]) / 2, compute_uv=False).sum()
    pairs = [np.stack([a, b]) for a, b in zip(*views, strict=True)]
    return value + local_weight * np.mean([np.linalg.svd(m, compute_uv=False).sum() for m in pairs])


def frossl_reference(z1, z2, invariance_weight=1.0):
    views = [np.stack([unit(column) for column in z.T], axis=1) for z in (z1, z2)]
    total = 0.0
    for z in views:
        moment = z.T @ z / np.trace(z.T @ z)
        total += 2 * np.log(np.sqrt(sum(moment[i, j] ** 2 for i, j in np.ndindex(moment.shape))))
        total += invariance_weight * 2 * z.shape[1] * np.mean((z - (views[0] + views[1]) / 2) ** 2)
    return total


def emp_ssl_reference(z1, z2, invariance_weight=200.0, distortion=0.2):
    patches = [np.array([unit(row) for row in z]) for z in (z1, z2)]
    (n, d), total = z1.shape, 0.0
    for z in patches:
        cosines = [unit(z[i]) @ unit((patches[0][i] + patches[1][i]) / 2) for i in range(n)]
        volume = np.linalg.det(np.eye(d) + d / (n * distortion) * sum(np.outer(row, row) for row in z))
        total -= invariance_weight * np.mean(cosines) + 0.5 * np.log(volume)
    return total / 2


def direct_clr_reference(r1, r2, subvector_dim=3):
    z1, z2 = r1[:, :subvector_dim], r2[:, :subvector_dim]
    return (info_nce_reference(z1, z2) + info_nce_reference(z2, z1)) / 2


def centroid_attraction_reference(p1, p2, p3, z1, z2, z3):
    total = 0.0
    for i in range(len(p1)):
        targets = [unit(z[i]) for z in (z1, z2, z3)]
        for v, p in enumerate((p1, p2, p3)):
            center = sum(target for u, target in enumerate(targets) if u != v)
            total += np.sum((unit(p[i]) - unit(center)) ** 2)
    return total / len(p1) / 3


def singular_value_dispersion_reference(*views):
    total = 0.0
    for z in views:
        values = np.linalg.svd(np.array([unit(row) for row in z]), compute_uv=False)
        total += np.mean((values / values.mean() - 1) ** 2)
    return total / len(views)


def sigreg_reference(*views):
    total, knots = 0.0, np.linspace(0, 3, 17)
    for z in views:
        for direction in DIRECTIONS.T.astype("float64"):
            y = z @ unit(direction)
            values = []
            for t in knots:
                g = np.exp(-(t**2) / 2)
                values.append(g * ((np.mean(np.cos(t * y)) - g) ** 2 + np.mean(np.sin(t * y)) ** 2))
            total += len(z) * 2 * sum((a + b) / 2 * 3 / 16 for a, b in zip(values, values[1:], strict=False))
    return total / len(views) / DIRECTIONS.shape[1]


def visreg_reference(*views, directions=None, deviations=None):
    directions = DIRECTIONS if directions is None else directions
    total = 0.0
    for v, z in enumerate(views):
        center, spread = z.mean(0), np.sqrt(np.mean((z - z.mean(0)) ** 2, axis=0)) + 1e-6
        total += np.mean(center**2) + np.mean((spread - 1) ** 2)
        standard = (z - center) / (spread if deviations is None else deviations[v])
        for direction in directions.T.astype("float64"):
            for i, y in enumerate(sorted(standard @ unit(direction)), start=1):
                share = (y - NormalDist().inv_cdf(i / (len(z) + 1))) ** 2
                total += share / len(z) / directions.shape[1]
    return total / len(views)


def view_invariance_reference(z1, z2):
    return np.mean([(a - (a + b) / 2) ** 2 + (b - (a + b) / 2) ** 2 for a, b in zip(z1, z2, strict=True)]) / 2


def dino_reference(student, teacher, student_temperature=0.1):
    terms = []
    for u in range(len(teacher)):
        for v in range(len(student)):
            if u != v:
                for b in range(student.shape[1]):
                    log_s = np.log(softmax(student[v, b] / student_temperature))
                    terms.append(-np.sum(teacher[u, b] * log_s))
    return np.mean(terms)


def ibot_reference(student, teacher, mask, student_temperature=0.1):
    each = []
    for b in range(len(student)):
        terms = [
            -np.sum(teacher[b, i] * np.log(softmax(student[b, i] / student_temperature)))
            for i in range(student.shape[1])
            if mask[b, i]
        ]
        each.append(np.mean(terms) if terms else 0.0)
    return np.mean(each)


def koleo_reference(features, candidates=None, first_row=0):
    rows = [unit(row) for row in features]
    others = rows if candidates is None else [unit(row) for row in candidates]
    each = []
    for i, row in enumerate(rows):
        distances = [np.linalg.norm(row - o) for j, o in enumerate(others) if j != i + first_row]
        each.append(-np.log(min(distances) + 1e-8) if distances else 0.0)
    return np.mean(each)


def msn_reference(anchors, targets, temperature=0.1):
    terms = [
        -np.sum(targets[0, b] * np.log(softmax(anchors[v, b] / temperature)))
        for v, b in np.ndindex(anchors.shape[:2])
    ]
    return np.mean(terms)


def ensemble_reference(student, teacher, weighting, weighting_temperature=0.3, temperature=0.1):
    terms = []
    for u, v, b in np.ndindex(len(teacher), *student.shape[:2]):
        if u != v:
            t, s = teacher[u, b], np.array([softmax(row / temperature) for row in student[v, b]])
            if weighting == "probability":
                t, s = t.mean(axis=0, keepdims=True), s.mean(axis=0, keepdims=True)
            each = -np.sum(t * np.log(s), axis=1)
            entropies = -np.sum(t * np.log(t), axis=1)
            weights = softmax(-entropies / weighting_temperature) if weighting == "entropy" else 1 / len(t)
            terms.append(np.sum(weights * each))
    return np.mean(terms)


def masked_mse_reference(prediction, target, mask, normalize_target=False):
    total = count = 0.0
    for b, i in np.ndindex(mask.shape):
        if mask[b, i]:
            t = target[b, i]
            if normalize_target:
                t = (t - t.mean()) / np.sqrt(t.var(ddof=1) + 1e-6)
            total += np.mean((prediction[b, i] - t) ** 2)
            count += 1
    return total / count


def kd_reference(student, teacher, temperature=4.0):
    each = []
    for a, b in zip(student, teacher, strict=True):
        s, t = softmax(a / temperature), softmax(b / temperature)
        each.append(temperature**2 * np.sum(t * np.log(t / s)))
    return np.mean(each)


def poa_reference(elastic, intact, temperature=0.1):
    each = []
    for a, b in zip(elastic, intact, strict=True):
        each.append(-np.sum(softmax(b / temperature) * np.log(softmax(a / temperature))))
    return np.mean(each)


def unfused_reference(logits, *branches_and_labels, weights=(0.7, 0.3, 0.003)):
    *branches, labels = branches_and_labels
    total = 0.0
    for i, label in enumerate(labels.astype(int)):
        z, p = logits[i], softmax(logits[i])
        total -= np.log(p[label])
        for branch in branches:
            q = softmax(branch[i])
            total += weights[0] * -np.log(q[label]) + weights[1] * np.sum(p * np.log(p / q))
            total += weights[2] * np.sum((unit(branch[i]) - unit(z)) ** 2)
    return total / len(labels)


def feature_distance_reference(student, teacher):
    return np.mean([sum((a - b) ** 2 for a, b in zip(s, t)) for s, t in zip(student, teacher)])  # noqa: B905


def soft_cross_entropy_reference(student, *teachers, temperature=2.0):
    each = []
    for i, row in enumerate(student):
        target = np.mean([softmax(teacher[i] / temperature) for teacher in teachers], axis=0)
        each.append(-(temperature**2) * np.sum(target * np.log(softmax(row / temperature))))
    return np.mean(each)


def meal_v2_discriminator_reference(student, teacher):
    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    parts = []
    for s, t in zip(student, teacher, strict=True):
        parts += [-np.log(sigmoid(s[0])), -np.log(1 - sigmoid(s[1]))]
        parts += [-np.log(1 - sigmoid(t[0])), -np.log(sigmoid(t[1]))]
    return np.mean(parts)


def ssld_reference(student, teacher):
    each = []
    for a, b in zip(student, teacher, strict=True):
        s, t = softmax(a), softmax(b)
        each.append(0.5 * (np.sum(t * np.log(t / s)) + np.sum(s * np.log(s / t))))
    return np.mean(each)


def non_target(logits, label):
    """The softmax over the classes other than the label, 0 at the label."""
    others = [c for c in range(len(logits)) if c != label]
    p = np.zeros(len(logits))
    p[others] = softmax(logits[others])
    return p


def nkd_reference(student, teacher, labels, gamma=1.5, temperature=1.0):
    each = []
    for i in np.flatnonzero(labels >= 0):
        y = int(labels[i])
        others = [c for c in range(student.shape[1]) if c != y]
        n_s, n_t = (non_target(x[i] / temperature, y) for x in (student, teacher))
        first = -softmax(teacher[i])[y] * np.log(softmax(student[i])[y])
        second = -sum(n_t[c] * np.log(n_s[c]) for c in others)
        each.append(first + gamma * temperature**2 * second)
    return np.mean(each)


def uskd_target_reference(logits, labels, detached=None):
    known = np.flatnonzero(labels >= 0)
    own, fixed = (
        [softmax(x[i])[int(labels[i])] for i in known]
        for x in (logits, logits if detached is None else detached[0])
    )
    soft = [1 + p**2 - np.mean(np.square(fixed)) for p in fixed]
    return np.mean([-weight * np.log(p) for weight, p in zip(soft, own, strict=True)])


def uskd_non_target_reference(logits, weak, labels):
    each = []
    for i in np.flatnonzero(labels >= 0):
        y = int(labels[i])
        p, w = softmax(logits[i]), softmax(weak[i])
        score = p / (1 - p[y] + 1e-6) + w / (1 - w[y] + 1e-6)
        zipf = {c: 1 / (1 + sum(score > score[c])) for c in range(len(p)) if c != y}
        total, n_p = sum(zipf.values()), non_target(logits[i], y)
        each.append(-sum(zipf[c] / total * np.log(n_p[c]) for c in zipf))
    return np.mean(each)


def ps_kd_reference(logits, past, labels, weight=0.4):
    each = []
    for i in np.flatnonzero(labels >= 0):
        one_hot = np.eye(logits.shape[1])[int(labels[i])]
        target = (1 - weight) * one_hot + weight * past[i] if past[i].any() else one_hot
        each.append(-np.sum(target * np.log(softmax(logits[i]))))
    return np.mean(each)


def pseudo_label_reference(student, teacher, threshold=0.45):
    each = []
    for s, t in zip(student, teacher, strict=True):
        p = softmax(t)
        each.append(-np.log(softmax(s)[p.argmax()]) if p.max() >= threshold else 0.0)
    return np.mean(each)


def embeddings(rng, batch, dim=4):
    return rng.normal(size=(batch, dim)), rng.normal(size=(batch, dim))


def two_pairs(rng, batch):
    return *embeddings(rng, batch), *embeddings(rng, batch)


DIRECTIONS = np.random.default_rng(7).normal(size=(4, 5)).astype("float32")
COVARIANCE = np.cov(np.random.default_rng(8).normal(size=(4, 9))).astype("float32")
QUEUE = np.random.default_rng(9).normal(size=(7, 4)).astype("float32")
QUEUE_LABELS = np.array([0, 1, 0, -1, 1, 2, 1], "int32")
PROTOTYPES = np.random.default_rng(10).normal(size=(3, 4)).astype("float32")
PROTOTYPE_CLASSES = np.array([0, 1, 0, 1, 2])
DIMENSION_TEMPERATURES = np.random.default_rng(13).uniform(0.5, 3.0, (2, 3, 3)).astype("float32")
HEADS_QUEUE = np.random.default_rng(9).normal(size=(7, 2, 3)).astype("float32")


def heads(rng, batch):
    return rng.normal(size=(batch, 2, 3)), rng.normal(size=(batch, 2, 3))


def grids(rng, batch):
    return tuple(rng.normal(size=(batch, 3, width)) for width in (4, 4, 5, 5))


def labeled_rows(rng, batch):
    return rng.normal(size=(batch, 4)), (np.arange(batch) // 2 % 2).astype("float64")


def labeled_pair(rng, batch):
    return *embeddings(rng, batch), (np.arange(batch) % 4).astype("float64")


def labeled_past(rng, batch):
    logits, past, labels = labeled_pair(rng, batch)
    past = np.array([softmax(row) for row in past])
    past[0] = 0
    return logits, past, labels


def squared_distances(rng, batch):
    return (np.square(rng.normal(size=(batch, 5))),)


def class_prototypes(rng, batch):
    return (rng.normal(size=(batch, 2, 4)),)


def rows_and_weights(rng, batch):
    weights = rng.uniform(size=(batch, 3))
    return rng.normal(size=(batch, 4)), weights / weights.sum(axis=1, keepdims=True)


def maps_and_centers(rng, batch):
    return [0.7 * rng.normal(size=(batch, 5, 3)) for _ in range(2)] + [
        rng.uniform(0, 32, size=(batch, 5, 2)) for _ in range(2)
    ]


def dino_inputs(rng, batch):
    teacher = np.exp(rng.normal(size=(2, batch, 5)))
    return rng.normal(size=(4, batch, 5)) * 0.3, teacher / teacher.sum(-1, keepdims=True)


def masked_tokens(rng, batch):
    teacher = np.exp(rng.normal(size=(batch, 6, 5)))
    # The second crop is not masked.
    mask = (np.arange(6) % 3 == np.arange(batch)[:, None] % 4) * (np.arange(batch)[:, None] != 1)
    return rng.normal(size=(batch, 6, 5)) * 0.3, teacher / teacher.sum(-1, keepdims=True), mask * 1.0


def heads_of_views(rng, batch):
    teacher = np.exp(rng.normal(size=(2, batch, 3, 5)))
    return rng.normal(size=(4, batch, 3, 5)) * 0.3, teacher / teacher.sum(-1, keepdims=True)


def anchors_and_targets(rng, batch):
    student, teacher = dino_inputs(rng, batch)
    return student, teacher[:1]


def patches(rng, batch):
    mask = np.zeros((batch, 6))
    mask[:, ::2] = 1
    return rng.normal(size=(batch, 6, 4)), rng.normal(size=(batch, 6, 4)), mask


@dataclass
class Case:
    """One loss: its inputs, its reference, and which of the inputs receive a gradient.

    A reference with `detaches` takes the inputs once more, as `detached`, where the loss detaches them.
    """

    loss: Callable
    reference: Callable
    inputs: Callable
    live: tuple[int, ...]
    has_reduction: bool = True
    batch_axis: int = 0
    detaches: bool = False


CASES = {
    "nt_xent": Case(losses.nt_xent, nt_xent_reference, embeddings, (0, 1)),
    "nt_xent_by_blocks": Case(
        functools.partial(losses.nt_xent, block_size=4), nt_xent_reference, embeddings, (0, 1)
    ),
    "dcl": Case(losses.dcl, dcl_reference, embeddings, (0, 1)),
    "dcl_by_blocks": Case(functools.partial(losses.dcl, block_size=4), dcl_reference, embeddings, (0, 1)),
    # Its weights are detached, which finite differences are not: tested in test_contrastive_losses.py.
    "dclw": Case(losses.dclw, dclw_reference, embeddings, ()),
    "info_nce": Case(losses.info_nce, info_nce_reference, embeddings, (0, 1)),
    "info_nce_with_queue": Case(
        functools.partial(losses.info_nce, queue=QUEUE),
        functools.partial(info_nce_reference, queue=QUEUE),
        embeddings,
        (0, 1),
    ),
    "hard_contrastive": Case(
        functools.partial(losses.hard_contrastive, hard_fraction=0.5),
        hard_contrastive_reference,
        embeddings,
        (0, 1),
    ),
    "hard_contrastive_with_queue": Case(
        functools.partial(losses.hard_contrastive, queue=QUEUE, hard_fraction=0.3),
        functools.partial(hard_contrastive_reference, queue=QUEUE, hard_fraction=0.3),
        embeddings,
        (0, 1),
    ),
    "dense_info_nce": Case(
        functools.partial(losses.dense_info_nce, queue=QUEUE),
        functools.partial(dense_info_nce_reference, queue=QUEUE),
        grids,
        (0, 1),
    ),
    "ressl": Case(
        functools.partial(losses.ressl, queue=QUEUE),
        functools.partial(ressl_reference, queue=QUEUE),
        embeddings,
        (0,),
    ),
    "cacr": Case(
        lambda z1, z2: losses.cacr((z1, z2)), cacr_reference, embeddings, (0, 1), has_reduction=False
    ),
    # Its weights are detached: its gradient is tested in test_sogclr_losses.py.
    "sogclr": Case(sogclr_of_the_batch, sogclr_reference, embeddings, ()),
    # In a batch of three there are fewer negatives than asked for.
    "groco": Case(
        functools.partial(losses.groco, num_negatives=3), groco_reference, embeddings, (0, 1), detaches=True
    ),
    "amcl": Case(amcl_with_temperatures, amcl_reference, heads, (0, 1)),
    "amcl_queue": Case(amcl_queue_with_temperatures, amcl_queue_reference, heads, (0, 1)),
    "amcl_barlow_twins": Case(
        functools.partial(losses.amcl_barlow_twins, temperatures=DIMENSION_TEMPERATURES),
        amcl_barlow_twins_reference,
        heads,
        (0, 1),
        has_reduction=False,
    ),
    "look": Case(
        functools.partial(losses.look, queue=QUEUE, queue_labels=QUEUE_LABELS, num_neighbors=3),
        look_reference,
        labeled_rows,
        (0,),
    ),
    "cross_entropy": Case(
        functools.partial(losses.cross_entropy, label_smoothing=0.1),
        functools.partial(cross_entropy_reference, label_smoothing=0.1),
        labeled_rows,
        (0,),
    ),
    "prototypical": Case(
        functools.partial(losses.prototypical, prototypes=PROTOTYPES),
        functools.partial(prototypical_reference, prototypes=PROTOTYPES.astype("float64")),
        labeled_rows,
        (0,),
    ),
    "nearest_image": Case(
        losses.nearest_image, nearest_image_reference, squared_distances, (0,), has_reduction=False
    ),
    "nearest_prototype": Case(losses.nearest_prototype, nearest_prototype_reference, squared_distances, (0,)),
    **{
        name: Case(
            functools.partial(getattr(losses, name), prototype_classes=PROTOTYPE_CLASSES),
            functools.partial(class_cost_reference, of_own_class=name == "cluster_cost"),
            lambda rng, batch: [*squared_distances(rng, batch), labeled_rows(rng, batch)[1]],
            (0,),
        )
        for name in ("cluster_cost", "separation_cost")
    },
    "prototype_orthogonality": Case(
        losses.prototype_orthogonality,
        orthogonality_reference,
        class_prototypes,
        (0,),
        has_reduction=False,
    ),
    "prototype_discrimination": Case(
        losses.prototype_discrimination,
        functools.partial(between_classes_reference, extreme=max),
        class_prototypes,
        (0,),
        has_reduction=False,
    ),
    "prototype_closeness": Case(
        losses.prototype_closeness,
        lambda prototypes: -between_classes_reference(prototypes, min),
        class_prototypes,
        (0,),
        has_reduction=False,
    ),
    "prototype_nll": Case(
        functools.partial(losses.prototype_nll, means=PROTOTYPES, log_stds=0.2 * PROTOTYPES),
        prototype_nll_reference,
        labeled_rows,
        (0,),
    ),
    "palm": Case(
        lambda z, weights, **kwargs: losses.palm(
            z, weights, PROTOTYPES / np.linalg.norm(PROTOTYPES, axis=1, keepdims=True), **kwargs
        ),
        palm_reference,
        rows_and_weights,
        (0,),
    ),
    "sup_con": Case(losses.sup_con, sup_con_reference, labeled_rows, (0,)),
    "barlow_twins": Case(
        losses.barlow_twins, barlow_twins_reference, embeddings, (0, 1), has_reduction=False
    ),
    "vicreg": Case(
        losses.vicreg,
        vicreg_reference,
        # Of deviations on both sides of the hinge.
        lambda rng, batch: [z * [0.3, 0.6, 1.2, 2.0] for z in embeddings(rng, batch)],
        (0, 1),
        has_reduction=False,
    ),
    "feature_redundancy": Case(
        losses.feature_redundancy, feature_redundancy_reference, two_pairs, (0, 1), has_reduction=False
    ),
    "vibcreg": Case(losses.vibcreg, vibcreg_reference, embeddings, (0, 1), has_reduction=False),
    "vicregl_local": Case(
        functools.partial(losses.vicregl_local, num_matches=3),
        vicregl_local_reference,
        maps_and_centers,
        (0, 1),
        has_reduction=False,
    ),
    # With partners in order, so that images may be permuted; others in test_mixing_losses.py.
    "mixing_regularizer": Case(
        lambda z1, z2, z_mixed: losses.mixing_regularizer(z1, z2, z_mixed, 0.3, ops.arange(ops.shape(z1)[0])),
        lambda z1, z2, z_mixed: mixing_regularizer_reference(z1, z2, z_mixed, 0.3, np.arange(len(z1))),
        lambda rng, batch: [*embeddings(rng, batch), rng.normal(size=(batch, 4))],
        (0, 1, 2),
        has_reduction=False,
    ),
    # Fewer dimensions than images, which Cholesky whitening asks for.
    "wmse": Case(
        lambda z1, z2, **kwargs: losses.wmse((z1, z2), **kwargs),
        wmse_reference,
        lambda rng, batch: embeddings(rng, batch, dim=2),
        (0, 1),
    ),
    "negative_cosine": Case(losses.negative_cosine, negative_cosine_reference, embeddings, (0,)),
    "byol": Case(losses.byol, byol_reference, embeddings, (0,)),
    "tico": Case(
        functools.partial(losses.tico, covariance=COVARIANCE),
        functools.partial(tico_reference, covariance=COVARIANCE),
        embeddings,
        (0,),
    ),
    "mmcr": Case(
        lambda z1, z2: losses.mmcr((z1, z2), 0.3),
        functools.partial(mmcr_reference, local_weight=0.3),
        embeddings,
        (0, 1),
        has_reduction=False,
    ),
    "frossl": Case(
        lambda z1, z2: losses.frossl((z1, z2)), frossl_reference, embeddings, (0, 1), has_reduction=False
    ),
    # With the default of 200 the finite differences of the reference would be as large as the errors.
    "emp_ssl": Case(
        lambda z1, z2: losses.emp_ssl((z1, z2), 2.0),
        functools.partial(emp_ssl_reference, invariance_weight=2.0),
        embeddings,
        (0, 1),
        has_reduction=False,
    ),
    "direct_clr": Case(
        functools.partial(losses.direct_clr, subvector_dim=3), direct_clr_reference, embeddings, (0, 1)
    ),
    "centroid_attraction": Case(
        lambda *rows, **options: losses.centroid_attraction(rows[:3], rows[3:], **options),
        centroid_attraction_reference,
        lambda rng, batch: rng.normal(size=(6, batch, 4)),
        (0, 1, 2),
    ),
    "singular_value_dispersion": Case(
        lambda z1, z2: losses.singular_value_dispersion((z1, z2)),
        singular_value_dispersion_reference,
        embeddings,
        (0, 1),
        has_reduction=False,
    ),
    "sigreg": Case(
        lambda z1, z2: losses.sigreg((z1, z2), DIRECTIONS),
        sigreg_reference,
        embeddings,
        (0, 1),
        has_reduction=False,
    ),
    # A deviation is detached in it: its gradient is tested in test_sketching_losses.py.
    "visreg": Case(
        lambda z1, z2: losses.visreg((z1, z2), DIRECTIONS),
        visreg_reference,
        embeddings,
        (),
        has_reduction=False,
    ),
    "view_invariance": Case(
        lambda z1, z2: losses.view_invariance((z1, z2)),
        view_invariance_reference,
        embeddings,
        (0, 1),
        has_reduction=False,
    ),
    "swav": Case(losses.swav, dino_reference, dino_inputs, (0,), batch_axis=1),
    "dino": Case(losses.dino, dino_reference, dino_inputs, (0,), batch_axis=1),
    "ibot": Case(losses.ibot, ibot_reference, masked_tokens, (0,)),
    "koleo": Case(losses.koleo, koleo_reference, lambda rng, batch: embeddings(rng, batch)[:1], (0,)),
    "msn": Case(
        lambda anchors, targets, **kwargs: losses.msn(anchors, targets[0], **kwargs),
        msn_reference,
        anchors_and_targets,
        (0,),
        batch_axis=1,
    ),
    **{
        f"weighted_ensemble_{weighting}": Case(
            functools.partial(
                losses.weighted_ensemble, losses.dino, weighting=weighting, weighting_temperature=0.3
            ),
            functools.partial(ensemble_reference, weighting=weighting),
            heads_of_views,
            (0,),
            batch_axis=1,
        )
        for weighting in ("uniform", "probability", "entropy")
    },
    "masked_mse": Case(losses.masked_mse, masked_mse_reference, patches, (0, 1)),
    "unfused": Case(
        lambda z, first, second, labels, **kwargs: losses.unfused(z, (first, second), labels, **kwargs),
        unfused_reference,
        lambda rng, batch: [*rng.normal(size=(3, batch, 4)), (np.arange(batch) % 4).astype("float64")],
        (0, 1, 2),
    ),
    "feature_distance": Case(losses.feature_distance, feature_distance_reference, embeddings, (0,)),
    "soft_cross_entropy": Case(
        lambda student, *teachers, **kwargs: losses.soft_cross_entropy(student, teachers, 2.0, **kwargs),
        soft_cross_entropy_reference,
        lambda rng, batch: rng.normal(size=(3, batch, 4)),
        (0,),
    ),
    "meal_v2_discriminator": Case(
        losses.meal_v2_discriminator,
        meal_v2_discriminator_reference,
        lambda rng, batch: embeddings(rng, batch, dim=2),
        (0, 1),
    ),
    "ssld": Case(losses.ssld, ssld_reference, embeddings, (0,)),
    "kd": Case(losses.kd, kd_reference, embeddings, (0,)),
    "poa": Case(losses.poa, poa_reference, embeddings, (0,)),
    "nkd": Case(
        functools.partial(losses.nkd, temperature=2.0),
        functools.partial(nkd_reference, temperature=2.0),
        labeled_pair,
        (0,),
    ),
    "uskd_target": Case(losses.uskd_target, uskd_target_reference, labeled_rows, (0,), detaches=True),
    "uskd_non_target": Case(losses.uskd_non_target, uskd_non_target_reference, labeled_pair, (0,)),
    "ps_kd": Case(functools.partial(losses.ps_kd, weight=0.4), ps_kd_reference, labeled_past, (0,)),
    "pseudo_label": Case(
        functools.partial(losses.pseudo_label, threshold=0.45), pseudo_label_reference, embeddings, (0,)
    ),
}
