"""Peers from PyPI, in a process of their own with libraries of their own (.venv-bench): a line of JSON in, one out.

    {"task": "rt-utils", ...}  ->  {"seconds": 0.1, ...} or {"error": "..."}

The clock runs here, around the peer's work alone, in a warm process. This file imports nothing of ours.
"""

from __future__ import annotations

import gc
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

ROI = "GTVp"
SIZE = 128


def versions(_request: dict[str, Any]) -> dict[str, Any]:
    from importlib.metadata import version

    return {"versions": {name: version(name) for name in ("torchio", "monai", "rt-utils", "dcmrtstruct2nii")}}


def rt_utils(request: dict[str, Any]) -> dict[str, Any]:
    """RTSTRUCT and series to a mask (rows, columns, slices)."""
    from rt_utils import RTStructBuilder

    begin = time.perf_counter()
    built = RTStructBuilder.create_from(dicom_series_path=request["series"], rt_struct_path=request["rtstruct"])
    mask = built.get_roi_mask_by_name(ROI)
    took = time.perf_counter() - begin
    np.save(request["out"], np.moveaxis(mask, 2, 0))
    return {"seconds": took}


def dcmrtstruct2nii(request: dict[str, Any]) -> dict[str, Any]:
    import pydicom

    pydicom.read_file = pydicom.dcmread  # its name before pydicom 3
    from dcmrtstruct2nii import dcmrtstruct2nii as convert

    begin = time.perf_counter()
    convert(
        request["rtstruct"],
        request["series"],
        request["folder"],
        structures=[ROI],
        gzip=False,
        convert_original_dicom=False,
    )
    return {"seconds": time.perf_counter() - begin}


def _mask_image(request: dict[str, Any]) -> Any:
    """The mask as rt-utils draws it, on the grid of the contoured series, as an ITK image."""
    import SimpleITK as sitk
    from rt_utils import RTStructBuilder

    built = RTStructBuilder.create_from(
        dicom_series_path=request["series"]["CE-T1w"], rt_struct_path=request["rtstruct"]
    )
    mask = np.moveaxis(built.get_roi_mask_by_name(ROI), 2, 0).astype(np.uint8)
    image = sitk.GetImageFromArray(mask)
    reader = sitk.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(request["series"]["CE-T1w"])
    first, second = sitk.ReadImage(names[0]), sitk.ReadImage(names[1])
    step = float(np.linalg.norm(np.subtract(second.GetOrigin(), first.GetOrigin())))
    image.SetOrigin(first.GetOrigin())
    image.SetSpacing((*first.GetSpacing()[:2], step))
    image.SetDirection(first.GetDirection())
    return image


def torchio(request: dict[str, Any]) -> dict[str, Any]:
    """Read, mask, resample in plane, histogram standardisation, crop around the tumour."""
    import torchio as tio

    landmarks = {role: np.array(values) for role, values in request["landmarks"].items()}
    begin = time.perf_counter()
    mask = tio.LabelMap.from_sitk(_mask_image(request))
    images = {role: tio.ScalarImage(folder) for role, folder in request["series"].items()}
    subject = tio.Subject(**{role.replace("-", "_"): image for role, image in images.items()}, tumour=mask)
    spacing = (request["spacing_mm"], request["spacing_mm"], float(mask.spacing[2]))
    named = {role.replace("-", "_"): values for role, values in landmarks.items()}
    prepared = tio.Compose(
        [
            tio.Resample(spacing),
            tio.HistogramStandardization(named),
            tio.CropOrPad((SIZE, SIZE, int(mask.shape[3])), mask_name="tumour"),
        ]
    )(subject)
    touched = np.flatnonzero(prepared["tumour"].data.numpy()[0].any(axis=(0, 1)))
    patches = [prepared[name].data.numpy()[0][:, :, touched] for name in named]
    return {"seconds": time.perf_counter() - begin, "slices": len(touched), "shape": list(patches[0].shape)}


def monai(request: dict[str, Any]) -> dict[str, Any]:
    """The same with MONAI's dictionary transforms."""
    import SimpleITK as sitk
    from monai.transforms import (
        Compose,
        CropForegroundd,
        EnsureChannelFirstd,
        HistogramNormalized,
        LoadImaged,
        ResizeWithPadOrCropd,
        Spacingd,
    )

    roles = list(request["series"])
    path = str(Path(request["folder"]) / "mask.nii")
    begin = time.perf_counter()
    mask = _mask_image(request)
    sitk.WriteImage(mask, path)
    keys = [*roles, "tumour"]
    spacing = (request["spacing_mm"], request["spacing_mm"], mask.GetSpacing()[2])
    prepared = Compose(
        [
            LoadImaged(roles, reader="PydicomReader"),
            LoadImaged(["tumour"], reader="NibabelReader"),
            EnsureChannelFirstd(keys),
            Spacingd(keys, pixdim=spacing, mode=["bilinear"] * len(roles) + ["nearest"]),
            HistogramNormalized(roles, num_bins=256, min=0, max=1),
            CropForegroundd(keys, source_key="tumour", margin=(SIZE // 2, SIZE // 2, 0), allow_smaller=True),
            ResizeWithPadOrCropd(keys, spatial_size=(SIZE, SIZE, -1)),
        ]
    )({**request["series"], "tumour": path})
    shape = list(prepared[roles[0]].shape)
    return {"seconds": time.perf_counter() - begin, "slices": shape[-1], "shape": shape}


_compiled: dict[str, Any] = {}


def openvino(request: dict[str, Any]) -> dict[str, Any]:
    """A residual network of the same shapes as ours (without the excitations), in OpenVINO's own precision."""
    import openvino as ov
    import torch
    from torch import nn

    def block(into: int, out: int, stride: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(into, out, 3, stride, 1), nn.ReLU(), nn.Conv2d(out, out, 3, 1, 1), nn.ReLU()
        )  # fmt: skip

    if "network" not in _compiled:
        stages = [
            block(a, b, s)
            for a, b, s in ((64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2), (512, 512, 1))
        ]
        network = nn.Sequential(
            nn.Conv2d(2, 32, 5, 2, 2), nn.ReLU(), nn.Conv2d(32, 64, 3, 1, 1), nn.ReLU(), nn.AvgPool2d(2), *stages
        ).eval()
        example = torch.rand(request["slices"], 2, 128, 128)
        _compiled["network"] = ov.compile_model(ov.convert_model(network, example_input=example), "CPU")
        _compiled["input"] = example.numpy()
    begin = time.perf_counter()
    _compiled["network"](_compiled["input"])
    return {"seconds": time.perf_counter() - begin}


TASKS = {
    "versions": versions, "rt-utils": rt_utils, "dcmrtstruct2nii": dcmrtstruct2nii, "torchio": torchio, "monai": monai,
    "openvino": openvino,
}  # fmt: skip


def main() -> None:
    warnings.simplefilter("ignore")
    answers, sys.stdout = sys.stdout, sys.stderr  # what peers print must not mix with the answers
    warm: set[str] = set()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = TASKS[request["task"]](request)
            if request["task"] not in warm:  # as on our side, the collector leaves alone what is loaded now
                warm.add(request["task"])
                gc.collect()
                gc.freeze()
        except Exception as error:  # a peer that fails is named, not waited for
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
