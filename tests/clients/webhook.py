"""The same as webhook.mjs, with the reference library in Python."""

import json
import sys

from standardwebhooks import Webhook

for line in sys.stdin:
    asked = json.loads(line)
    try:
        Webhook(asked["secret"]).verify(asked["body"], asked["headers"])
        print("ok", flush=True)
    except Exception as error:
        print(str(error) or type(error).__name__, flush=True)
