"""Azure's tutorial for NodeLTS session pools: its eight requests, one after the other.

Without ACA_POOL_MANAGEMENT_ENDPOINT they go to the embedded pool. A pool in Azure needs network egress for the first.
"""

from __future__ import annotations

import os

from aca_node_interpreter import LocalPool, SessionPoolClient
from aca_node_interpreter.rest.operations import TUTORIAL_API

NPM = """\
var npm = require("child_process").spawnSync("npm", %s, { encoding: "utf-8" });
console.log(npm.stdout + npm.stderr);
"""
WRITE_A_FILE = """\
$$.async();
fs.writeFile(path.join("/mnt/data", "example.txt"), "Hello, this is a sample content!", (error) => {
  if (error) return $$.sendError(error);
  console.log("File has been created and saved successfully!");
  $$.done();
});
"""


def walk_through(client: SessionPoolClient) -> None:
    """Make the tutorial's requests and print what each gave."""
    print("1. Install a package:", client.execute(NPM % '["install", "axios"]', timeout=100).stdout)
    print("2. List the packages:", client.execute(NPM % '["list"]', timeout=100).stdout)
    print("3. Inline:", client.execute('console.log("inline-synchronous")').stdout)
    print("4. InlineText, 1+3:", client.execute("1+3", code_input_type="InlineText").result)
    print("5. InlineBase64, MSsy:", client.execute("MSsy", code_input_type="InlineBase64").result)
    print("6. Write a file:", client.execute(WRITE_A_FILE).stdout)
    print("7. Download it:", client.download_file("example.txt").decode())
    sent = client.upload_file(__file__)
    print(f"8. Upload a file: {sent.name}, {sent.size} bytes, beside {[file.name for file in client.list_files()]}")
    client.delete_session()


def main() -> None:
    """Find a session pool and walk through the tutorial on it."""
    endpoint = os.environ.get("ACA_POOL_MANAGEMENT_ENDPOINT")
    if endpoint:
        # DefaultAzureCredential signs in; for `aca-node serve` the environment holds ACA_POOL_TOKEN.
        with SessionPoolClient(endpoint, api_version=TUTORIAL_API) as client:
            walk_through(client)
    else:
        with (
            LocalPool(egress=True) as pool,
            SessionPoolClient(pool.endpoint, token=pool.token, api_version=TUTORIAL_API) as client,
        ):
            walk_through(client)


if __name__ == "__main__":
    main()
