"""A LangChain agent that gets a CSV file and sends a chart back, drawn by Chart.js.

The model is the one of `deployment.py`. The code runs in the pool named by ACA_POOL_MANAGEMENT_ENDPOINT, which needs
egress for npm, or else in the embedded one.
"""

from __future__ import annotations

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import AzureChatOpenAI

from aca_node_interpreter import NodeSessionsCodeExecutor
from aca_node_interpreter.testing import Call, Say, Turn
from deployment import deployment

SALES = b"region,amount\nNorth,120\nSouth,310\nNorth,95\nWest,178\nSouth,42\nEast,260\n"
PACKAGES = ["chart.js@4", "@napi-rs/canvas@0.1", "@fontsource/inter@5"]
TASK = f"Add up the amounts by region, and draw the totals as a bar chart, sales.png. You have {', '.join(PACKAGES)}."
CODE = """\
import { Chart, registerables } from 'chart.js';
import { createCanvas, GlobalFonts } from '@napi-rs/canvas';

const totals = {};
for (const line of fs.readFileSync('/mnt/data/sales.csv', 'utf8').trim().split('\\n').slice(1)) {
  const [region, amount] = line.split(',');
  totals[region] = (totals[region] ?? 0) + Number(amount);
}
GlobalFonts.registerFromPath(require.resolve('@fontsource/inter/files/inter-latin-400-normal.woff2'), 'Inter');
Chart.register(...registerables);
Chart.defaults.font = { family: 'Inter', size: 14 };
const canvas = createCanvas(640, 360);
new Chart(canvas, {
  type: 'bar',
  data: { labels: Object.keys(totals), datasets: [{ data: Object.values(totals), backgroundColor: '#2563eb' }] },
  options: {
    animation: false, responsive: false, devicePixelRatio: 2, layout: { padding: 20 },
    scales: { x: { grid: { display: false } } },
    plugins: { legend: { display: false }, title: { display: true, text: 'Sales by region' } },
  },
  plugins: [{ beforeDraw: ({ ctx }) => { ctx.fillStyle = 'white'; ctx.fillRect(0, 0, 640, 360); } }],
});
fs.writeFileSync('/mnt/data/sales.png', canvas.toBuffer('image/png'));
totals"""
SCRIPT = [
    Turn(Call("node_interpreter", code=CODE)),
    Turn(Say("The South sold most, 352. The chart is in sales.png."), output="South: 352"),
]


def main() -> None:
    """Send the file, give the agent its task, print the conversation and where the chart is."""
    with (
        deployment(SCRIPT) as azure,
        NodeSessionsCodeExecutor(packages=PACKAGES, egress=True, artifacts_dir="results") as executor,
    ):
        model = AzureChatOpenAI(
            azure_endpoint=azure.endpoint,
            azure_deployment=azure.name,
            api_version=azure.api_version,
            azure_ad_token_provider=azure.token,
        )
        executor.upload(SALES, name="sales.csv")
        agent = create_agent(model, tools=[executor])
        task = HumanMessage(f"{TASK}\n{executor.describe_files()}")
        for message in agent.invoke({"messages": [task]})["messages"]:
            message.pretty_print()
            if isinstance(message, ToolMessage) and message.artifact:
                print(*(f"saved as {file['path']}" for file in message.artifact["files"]), sep="\n")


if __name__ == "__main__":
    main()
