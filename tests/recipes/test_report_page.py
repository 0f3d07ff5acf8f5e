import html.parser
import importlib.machinery
import json
import re
import shutil
import subprocess
import sys
import types

import keras
import numpy as np
import pytest

import kerassl
from kerassl.evaluation.page import Page
from recipes import evaluate, report

pytestmark = pytest.mark.backends("torch")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)


class FirstTwo:
    """In place of UMAP, which compiles for longer than all else here takes."""

    def __init__(self, *args, **kwargs):
        assert kwargs == {"metric": "cosine", "random_state": 0, "n_jobs": 1}

    def fit_transform(self, features):
        return features[:, :2]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report of a workdir with a ViT and of a ResNet's file, and its rows."""
    umap = types.ModuleType("umap")
    umap.__spec__, umap.UMAP = importlib.machinery.ModuleSpec("umap", None), FirstTwo
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "umap", umap)
        yield make_page(tmp_path_factory)


def make_page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    vit = kerassl.backbones.vit((8, 8, 1), patch_size=4, hidden_dim=12, depth=1, num_heads=3)
    workdir = folder / "my <run>"
    kerassl.methods.SimCLR(vit, views="digits").export_encoder(workdir / "encoder", format="keras")
    config = {"dataset": "digits", "method": "simclr", "data_dir": None, "image_size": None}
    config |= {"limit_train": 120, "limit_test": 60, "about": {"keras": "x"}}
    (workdir / "config.json").write_text(json.dumps(config))
    metrics = [{"epoch": e, "loss": 1 / e, "knn_k20_t0.1": 0.1 * e} for e in (1, 2, 3)]
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    resnet = kerassl.backbones.ResNet((8, 8, 1), depths=(1,), width=4, stem="small")
    other = kerassl.methods.SimCLR(resnet, views="digits").export_encoder(folder / "resnet", format="keras")
    path = folder / "report.html"
    rows = evaluate.run(
        encoder=f"{workdir},{other}",
        protocols="few_shot,knn,linear,naive_bayes,clustering,retrieval,rankme,alpha_req",
        report=str(path),
    )
    return path, rows


class Links(html.parser.HTMLParser):
    """All addresses and headings of a page."""

    def __init__(self):
        super().__init__()
        self.addresses, self.headings, self.open, self.stack = [], [], None, []

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href", "xlink:href")]
        self.open = tag

    def handle_data(self, data):
        if self.open == "h2":
            self.headings.append(data)

    def handle_endtag(self, tag):
        self.open = None


def test_it_holds_all_sections_and_fetches_nothing(page):
    path, rows = page
    assert list(rows) == ["raw pixels", "my <run>", "resnet"]
    columns = {"1-label", "kNN k20 t0.1", "linear", "naive Bayes", "NMI", "mAP", "alpha-ReQ"}
    assert columns <= set(rows["resnet"])
    # RankMe compares encoders of one width.
    ranks = [name for row in rows.values() for name in row if name.startswith("RankMe")]
    assert len(ranks) == len(set(ranks)) == 2
    assert not any(name.startswith("RankMe") for name in rows["raw pixels"])
    text = path.read_text()
    links = Links()
    links.feed(text)
    assert links.headings == [
        "Numbers", "Curves", "Spectrum", "Map", "Nearest neighbors", "Confusion", "Attention", "Settings",
        "TrainingPreprocessing", "Environment",
    ]  # fmt: skip
    assert all(address.startswith(("#", "data:")) for address in links.addresses)
    assert "my &lt;run&gt;" in text and "<run>" not in text
    accuracy = f"{100 * rows['resnet']['kNN k20 t0.1']:.1f}\u00a0%\n("
    assert accuracy in text
    assert "simclr" in text and "alpha-ReQ" in text
    assert all(
        f"{name}, {method}<" in text for name in ("my &lt;run&gt;", "resnet") for method in ("PCA", "UMAP")
    )
    assert "weighted votes of k nearest bank images" in text and "resized to 8 x 8" in text


def test_settings_that_differ_stand_apart(page, tmp_path):
    model = kerassl.methods.SimCLR(kerassl.backbones.ResNet((8, 8, 1), depths=(1,), width=4, stem="small"))
    configs = {"a": {"method": "simclr", "seed": 0, "method_args": {}}, "b": {"method": "byol", "seed": 0}}
    configs["b"]["method_args"] = {"momentum": 0.9}
    made = Page("runs")
    report.settings(made, {n: report.Measured(model, None, None, config) for n, config in configs.items()})
    assert made.sections == ["Settings that differ", "Settings of all runs", "TrainingPreprocessing"]
    assert "<tr><th>method</th><td>simclr</td><td>byol</td></tr>" in made.parts[1]
    assert "<td>-</td><td>momentum=0.9</td>" in made.parts[1] and "seed" not in made.parts[1]
    assert "<tr><th>seed</th><td>0</td></tr>" in made.parts[3]


# Says what reaches beyond the right margin.
CLIPPED = """<script>
for (const e of document.querySelectorAll("table, img, svg"))
  if (e.getBoundingClientRect().right > document.documentElement.clientWidth)
    console.error("clipped: " + e.outerHTML.slice(0, 80));
</script>"""


def show(page, folder):
    """What a browser without a network says of a page, which it prints to a file."""
    command = [
        BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--enable-logging=stderr", "--window-size=794,1123", "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={folder}/profile", f"--print-to-pdf={folder}/page.pdf", page.as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stderr


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium or Chrome")
def test_a_browser_without_a_network_shows_it_without_errors(page, tmp_path):
    checked = tmp_path / "checked.html"
    checked.write_text(page[0].read_text() + CLIPPED)
    assert "CONSOLE" not in show(checked, tmp_path)
    pdf = (tmp_path / "page.pdf").read_bytes()
    assert pdf.startswith(b"%PDF") and len(pdf) > 50_000
    assert 4 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 12
    (tmp_path / "other.html").write_text("<script>console.error(1)</script>")
    assert "CONSOLE" in show(tmp_path / "other.html", tmp_path)


def test_one_encoder_stands_beside_a_random_one(page, tmp_path):
    folder = page[0].parent
    rows = evaluate.run(encoder=str(folder / "my <run>"), protocols="knn")
    assert list(rows) == ["raw pixels", "random encoder", "trained encoder"]
    assert rows["trained encoder"] == {"kNN k20 t0.1": page[1]["my <run>"]["kNN k20 t0.1"]}


def test_an_unknown_protocol_is_named(page):
    with pytest.raises(ValueError, match="Unknown protocol 'linaer'.*Did you mean 'linear'|linaer"):
        evaluate.run(encoder=str(page[0].parent / "resnet.keras"), dataset="digits", protocols="knn,linaer")


def test_attention_is_that_of_the_last_block():
    keras.utils.set_random_seed(0)
    vit = kerassl.backbones.vit((8, 8, 1), patch_size=4, hidden_dim=12, depth=2, num_heads=3)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
    maps = keras.ops.convert_to_numpy(kerassl.backbones.attention_maps(vit, images))
    tokens = vit.blocks[0](vit.with_class_token(vit.embed_patches(images)))
    block = vit.blocks[1]
    qkv = keras.ops.convert_to_numpy(block.qkv(block.attention_norm(tokens)))
    for b, h in np.ndindex(2, 3):
        query, key = qkv[b, 0, 4 * h : 4 * h + 4], qkv[b, :, 12 + 4 * h : 16 + 4 * h]
        scores = np.exp(key @ query / 2)
        expected = (scores / scores.sum())[1:].reshape(2, 2)
        np.testing.assert_allclose(maps[b, h], expected, atol=1e-5)
