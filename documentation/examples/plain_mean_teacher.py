"""DyCON's losses in a mean teacher of plain PyTorch: it learns to segment discs, half of them without a label."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from nnunetv2_dycon import losses

STEPS, BATCH, CELLS, LABELS = 60, 4, (8, 8), losses.Classes()


class Network(nn.Module):
    """A segmentation network with a projection head on its bottleneck."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 16, 4, 4), nn.LeakyReLU(), nn.Conv2d(16, 32, 3, 1, 1), nn.LeakyReLU())
        self.decoder = nn.Sequential(nn.ConvTranspose2d(32, 16, 4, 4), nn.LeakyReLU(), nn.Conv2d(16, 2, 3, 1, 1))
        self.projection_head = nn.Conv2d(32, 16, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, 2, 32, 32) and the embeddings (B, 64, 16) of 8 x 8 cells of (B, 1, 32, 32) images."""
        features = self.encoder(images)
        return self.decoder(features), normalize(self.projection_head(features).flatten(2).transpose(1, 2), dim=2)


def random_discs() -> tuple[Tensor, Tensor]:
    """Noisy images of bright discs and their labels, (B, 1, 32, 32)."""
    center, radius = torch.randint(8, 24, (2, BATCH, 1, 1, 1)), torch.randint(4, 8, (BATCH, 1, 1, 1))
    rows, columns = torch.arange(32).view(-1, 1), torch.arange(32)
    labels = ((rows - center[0]) ** 2 + (columns - center[1]) ** 2 < radius**2).long()
    return labels + 0.5 * torch.randn(labels.shape), labels


torch.manual_seed(0)
student, uncl, fecl = Network(), losses.UnCL(labels=LABELS), losses.FeCL()
teacher = copy.deepcopy(student).requires_grad_(False)
optimizer = torch.optim.Adam(student.parameters(), lr=0.005)
for step in range(STEPS):
    (labeled, target), (unlabeled, _) = random_discs(), random_discs()
    noisy = unlabeled + 0.2 * torch.randn(unlabeled.shape)
    (logits, embeddings), (noisy_logits, noisy_embeddings) = student(labeled), student(noisy)
    teacher_logits, teacher_embeddings = teacher(unlabeled)
    known = losses.cell_labels_from_target(target, CELLS, LABELS, num_classes=2)
    pseudo = losses.cell_labels_from_probabilities(LABELS.probabilities(teacher_logits), CELLS, LABELS)
    supervised = cross_entropy(logits, target[:, 0])
    consistency = uncl(noisy_logits, teacher_logits, beta=5 * (0.5 / 5) ** (step / STEPS))
    contrast = fecl(embeddings, known.labels, weights=known.weights)
    contrast += fecl(noisy_embeddings, pseudo.labels, teacher_embeddings=teacher_embeddings, weights=pseudo.weights)
    loss = supervised + 0.1 * consistency + 0.1 * contrast
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    for ours, theirs in zip(teacher.parameters(), student.parameters(), strict=True):
        ours.lerp_(theirs.detach(), 0.05)
    if step % 10 == 9:
        print(f"step {step + 1}: loss {loss:.4f}, of labeled images {supervised:.4f}")
