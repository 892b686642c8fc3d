"""A method of one's own, as it may lie in a folder of ``nnUNet_extTrainer``."""

METHOD_OF_A_USER = """
from dataclasses import dataclass

from nnunetv2_dycon.losses import softmax_mse
from nnunetv2_dycon.methods.method import Losses, Method, Prediction, Task
from nnunetv2_dycon.methods.settings import MethodSettings, setting
from nnunetv2_dycon.trainers import trainers_of


@dataclass(frozen=True)
class OwnSettings(MethodSettings):
    own_weight: float = setting(3.0, "weight of the squared error after the ramp-up", minimum=0)


class Own(Method[OwnSettings, Task]):
    settings_section = "own"
    settings_class = OwnSettings
    terms = ("squared_error",)

    def term_weights(self):
        return {"squared_error": self.settings.own_weight}

    def unlabeled_losses(self, student, task, progress):
        return Losses({"squared_error": softmax_mse(student.logits, task.teacher.logits, labels=self.labels)})


globals().update(trainers_of(Own))
"""
