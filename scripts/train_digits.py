"""Train the network that `tito bench` runs, on scikit-learn's handwritten digits.

    pip install 'tinytorch-kernels[digits]'
    python scripts/train_digits.py

Writes src/tinytorch/bench/digits.safetensors: the weights, and the images and labels that were held out.
Deterministic: one thread, fixed seeds.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

TARGET = Path(__file__).parent.parent / "src/tinytorch/bench/digits.safetensors"
EPOCHS = 60


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    digits = load_digits()
    x_train, x_test, y_train, y_test = train_test_split(
        digits.images, digits.target, test_size=0.25, random_state=0, stratify=digits.target
    )
    images = torch.tensor(x_train[:, None] / 16, dtype=torch.float32)
    labels = torch.tensor(y_train)
    convolution = torch.nn.Conv2d(1, 8, 3, padding=1)
    hidden, output = torch.nn.Linear(512, 64), torch.nn.Linear(64, 10)
    net = torch.nn.Sequential(
        convolution,
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        hidden,
        torch.nn.ReLU(),
        torch.nn.Dropout(0.3),
        output,
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        net.train()
        for rows in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(images[rows]), labels[rows]).backward()
            optimizer.step()
        schedule.step()
    net.eval()
    with torch.no_grad():
        scores = net(torch.tensor(x_test[:, None] / 16, dtype=torch.float32)).numpy()
    print(f"{np.mean(scores.argmax(1) == y_test):.4f} of {len(y_test)} held-out images right")
    tensors = {
        "conv.weight": convolution.weight,  # (8, 1, 3, 3)
        "conv.bias": convolution.bias,
        "hidden.weight": hidden.weight.T,  # (in, out), as everywhere in tinytorch
        "hidden.bias": hidden.bias,
        "output.weight": output.weight.T,
        "output.bias": output.bias,
    }
    arrays = {name: np.ascontiguousarray(tensor.detach().numpy()) for name, tensor in tensors.items()}
    arrays |= {"images": x_test.astype(np.uint8), "labels": y_test.astype(np.uint8)}
    TARGET.write_bytes(save(arrays))


if __name__ == "__main__":
    main()
