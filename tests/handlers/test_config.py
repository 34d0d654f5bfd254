"""Settings from the environment."""

import pytest

from perfprofile_operator.config import Settings
from perfprofile_operator.errors import SettingsError


def test_nothing_said_gives_the_defaults():
    assert Settings.from_environment({"PATH": "/bin", "PERFPROFILE_AGENT_IMAGE": ""}) == Settings()


def test_everything_can_be_said():
    settings = Settings.from_environment(
        {
            "PERFPROFILE_NAMESPACE": "a",
            "PERFPROFILE_AGENTS_NAMESPACE": "b",
            "PERFPROFILE_AGENT_IMAGE": "i@sha256:0",
            "PERFPROFILE_AGENT_IMAGE_PULL_SECRETS": "one, two",
            "PERFPROFILE_AGENT_PRIVILEGED": "True",
            "PERFPROFILE_AGENT_RESOURCES": '{"limits": {"cpu": "1"}}',
            "PERFPROFILE_AGENT_TOLERATIONS": "[]",
            "PERFPROFILE_GATEWAY_URL": "https://gateway:8444/",
            "PERFPROFILE_HEALTH_PORT": "0",
            "PERFPROFILE_WORKERS": "2",
            "PERFPROFILE_RESYNC_SECONDS": "5.5",
        }
    )

    assert (settings.namespace, settings.agents_namespace, settings.agent_image) == ("a", "b", "i@sha256:0")
    assert settings.agent_image_pull_secrets == ("one", "two")
    assert settings.agent_privileged is True
    assert settings.agent_resources == {"limits": {"cpu": "1"}}
    assert settings.agent_tolerations == []
    assert settings.gateway_url == "https://gateway:8444"
    assert (settings.health_port, settings.workers, settings.resync_seconds) == (0, 2, 5.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PERFPROFILE_AGENT_PRIVILEGED", "perhaps"),
        ("PERFPROFILE_AGENT_RESOURCES", "[]"),
        ("PERFPROFILE_AGENT_RESOURCES", "{"),
        ("PERFPROFILE_AGENT_TOLERATIONS", '{"operator": "Exists"}'),
        ("PERFPROFILE_GATEWAY_URL", "http://gateway:8444"),
        ("PERFPROFILE_GATEWAY_URL", "gateway"),
        ("PERFPROFILE_HEALTH_PORT", "70000"),
        ("PERFPROFILE_WORKERS", "none"),
        ("PERFPROFILE_RESYNC_SECONDS", "0"),
    ],
)
def test_what_cannot_be_used_is_named(name, value):
    with pytest.raises(SettingsError, match=name) as error:
        Settings.from_environment({name: value})

    assert "Correct it" in str(error.value)
