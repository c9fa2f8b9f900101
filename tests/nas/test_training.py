"""Training: it learns, it can be interrupted, and files are not trusted."""

import pickle

import numpy as np
import pytest
import torch

from hilnas.errors import InputError
from hilnas.nas import training
from hilnas.nas.accuracy import calibrated_subnet, subnet_accuracy, train_and_evaluate
from hilnas.nas.data import Images, load_data
from hilnas.nas.network import McuDimensions
from hilnas.nas.spaces.mcu import McuSpace
from hilnas.nas.spaces.mcu_network import largest, network_of
from hilnas.nas.subnet import Subnet
from hilnas.nas.training import Recipe, load_supernet, train

TINY = McuSpace(
    McuDimensions(
        name="tiny",
        resolution=8,
        channels=1,
        classes=10,
        stem_width=8,
        stem_stride=2,
        first_width=8,
        widths=(12, 16),
        strides=(1, 2),
        base_depths=(1, 1),
        depth_slots=(2, 1),
        kernels=(3, 5),
        expands=(2, 4),
        exit_kernels=(3,),
    )
)
RECIPE = Recipe(epochs=2, seed=3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("training") / "supernet.pt"
    return train(TINY, "digits", RECIPE, path), path


def weights(trained):
    return {name: value.numpy() for name, value in trained.supernet.state_dict().items()}


def assert_same(left, right):
    assert left.keys() == right.keys()
    assert all(np.array_equal(left[name], right[name]) for name in left)


def test_two_epochs_learn_digits(trained):
    data = load_data("digits")
    subnet = calibrated_subnet(trained[0].supernet, largest(TINY), data.training)
    assert subnet_accuracy(subnet, data.validation).by_output[-1] > 0.7


def test_training_goes_on_after_an_interruption_to_the_same_weights(trained, tmp_path, monkeypatch):
    write, written = training.write_atomically, []

    def interrupted(path, content):
        if written:
            raise KeyboardInterrupt
        written.append(path)
        write(path, content)

    monkeypatch.setattr(training, "write_atomically", interrupted)
    path = tmp_path / "supernet.pt"
    with pytest.raises(KeyboardInterrupt):
        train(TINY, "digits", RECIPE, path)
    assert load_supernet(path).epochs == 1
    monkeypatch.undo()
    assert_same(weights(train(TINY, "digits", RECIPE, path)), weights(trained[0]))


def test_a_finished_training_is_not_repeated(trained, monkeypatch):
    monkeypatch.setattr(training, "_train_epoch", lambda *args: pytest.fail("trained again"))
    assert_same(weights(train(TINY, "digits", RECIPE, trained[1])), weights(trained[0]))


def test_loading_gives_back_the_supernet_and_where_it_comes_from(trained):
    loaded = load_supernet(trained[1])
    assert_same(weights(loaded), weights(trained[0]))
    assert (loaded.data, loaded.recipe, loaded.epochs) == ("digits", RECIPE, 2)
    assert loaded.supernet.space.dimensions == TINY.dimensions


def test_another_training_is_not_gone_on_from(trained):
    with pytest.raises(InputError, match="recipe"):
        train(TINY, "digits", Recipe(epochs=2, seed=4), trained[1])


def test_data_that_do_not_fit_the_space_are_refused(tmp_path):
    file = tmp_path / "images.npz"
    np.savez(file, x=np.zeros((30, 9, 9, 1), dtype=np.uint8), y=np.arange(30) % 10)
    with pytest.raises(InputError, match="needs"):
        train(TINY, str(file), RECIPE, tmp_path / "supernet.pt")
    assert not (tmp_path / "supernet.pt").exists()


def test_images_that_are_not_square_are_refused(tmp_path):
    file = tmp_path / "images.npz"
    np.savez(file, x=np.zeros((30, 9, 8, 1), dtype=np.uint8), y=np.arange(30) % 10)
    with pytest.raises(InputError, match="square"):
        train_and_evaluate(str(file), RECIPE, tmp_path / "supernet.pt")


class _Evil:
    def __reduce__(self):
        return (pytest.fail, ("code in a checkpoint was executed",))


def test_files_that_are_no_supernet_are_refused_and_never_executed(trained, tmp_path):
    whole = trained[1].read_bytes()
    evil = tmp_path / "evil"
    torch.save({"format": 1, "weights": _Evil()}, evil)
    contents = [b"", b"x" * 100, whole[:-2000], whole[: len(whole) // 2], pickle.dumps(_Evil(), protocol=2), evil.read_bytes()]
    for value in ([1], {"format": 9}, {"format": 1}, {"format": 1, "space": {"name": "x"}, "weights": {}}):
        torch.save(value, evil)
        contents.append(evil.read_bytes())
    for content in contents:
        evil.write_bytes(content)
        with pytest.raises(InputError):
            load_supernet(evil)


def test_accuracy_follows_the_exit_rule():
    """A network whose exit says 0 and whose end says 1, both surely: the threshold decides which answer counts."""
    row = largest(TINY).copy()
    row[TINY.layout.exit_active] = [1, 0]
    images = Images(np.zeros((4, 8, 8, 1), dtype=np.uint8), np.array([0, 0, 0, 1]))
    for certainty, expected in ((50.0, 0.75), (0.0, 0.25)):
        subnet = Subnet(network_of(TINY, row)).eval()
        with torch.no_grad():
            for name, answer, logit in (("exit0_dense", 0, certainty), ("final_dense", 1, 50.0)):
                layer = subnet.get_submodule(name)
                layer.weight.zero_()
                layer.bias.zero_()
                layer.bias[answer] = logit
        result = subnet_accuracy(subnet, images)
        assert result.accuracy == expected
        assert result.exit_rates == ((1.0, 0.0) if certainty else (0.0, 1.0))
        assert result.by_output[1] == 0.25
