"""The words of the command in Chinese, and of the protocols in both languages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

# Every sentence that the command says, by its English.
SENTENCES: Final[Mapping[str, str]] = {
    # the command line
    "What a technician asks of a machine, beside it and without a network.": "维护人员在机器旁使用的命令，无需网络。",
    "exit codes: 0 done, 1 refused or failed, 2 wrong usage, 69 no agent, 78 wrong settings, 130 interrupted": (
        "退出码：0 完成，1 被拒绝或失败，2 用法错误，69 代理程序无应答，78 设置错误，130 被中断"
    ),
    "WORD": "命令词",
    "words": "命令词",
    "answers for programs": "以 JSON 输出，供程序读取",
    "the agent's socket": "代理程序的套接字",
    "the agent's settings file": "代理程序的设置文件",
    "do not ask": "不再询问",
    "how the machine is": "机器状态",
    "the live screen": "实时画面",
    "seconds between two pictures": "两次刷新之间的秒数",
    "end after so many pictures": "刷新若干次后结束",
    "what lies in every aisle": "各货道库存",
    "turn one motor; what falls is booked out": "转动一个货道电机；掉出的商品记为出库",
    "the name of the aisle, as in aislectl aisles": "货道名，见 aislectl aisles",
    "turn all motors, and report currents and times": "转动全部电机，报告电流与时间",
    "only this board; may be repeated": "仅此驱动板；可重复",
    "only this aisle; may be repeated": "仅此货道；可重复",
    "book items put into an aisle, or (negative) taken out": "登记放入货道的数量，负数为取出",
    "how many": "数量",
    "book the counted number of items": "登记盘点数量",
    "close an aisle for sale": "停售一个货道",
    "why": "原因",
    "open an aisle for sale": "恢复一个货道的销售",
    "every line and slave: rate, errors, latency, breaker": "各总线与从机：频率、错误、延迟、熔断",
    "what stops or limits service now": "当前故障",
    "say that a fault was looked at and is over": "确认故障已处理",
    "the code, as in aislectl faults": "故障代码，见 aislectl faults",
    "an aisle, board-1 or machine; without it wherever it holds": "货道、board-1 或 machine；省略则为全部",
    "vends that a person has to decide": "待人工核实的出货",
    "the stock was counted after a damaged ledger": "账本损坏后已完成盘点",
    "what waits for the cloud": "等待上传云端的记录",
    "your visit, told to the cloud as one sealed record": "维护到访，签名后上报云端",
    "begin a visit": "开始到访",
    "your name": "姓名",
    "end the visit and record it": "结束到访并记录",
    "the visit that goes on": "当前到访",
    "look at everything and say what to do": "全面检查并给出处理办法",
    "one archive for whoever helps, without secrets": "打包诊断资料，不含密钥",
    "where to write it": "写入位置",
    "print the completion script of a shell": "输出命令补全脚本",
    "bash, zsh or fish": "bash、zsh 或 fish",
    # answers
    "yes": "是",
    "no": "否",
    "none": "无",
    "open": "开",
    "shut": "关",
    "selling": "营业中",
    "not selling": "停售",
    "all answer": "全部应答",
    "connected": "已连接",
    "not connected": "未连接",
    "none yet": "尚无",
    "Machine": "机器",
    "Sale": "销售",
    "Busy now": "正在出货",
    "Boards": "驱动板",
    "Board": "驱动板",
    "Door": "门",
    "Temperature": "温度",
    "Cloud": "云端",
    "Facts waiting": "待上传记录",
    "Configuration": "配置版本",
    "Disk free": "磁盘剩余",
    "Ledger": "账本",
    "Aisle": "货道",
    "Aisles": "货道",
    "Motor": "电机",
    "Goods": "商品",
    "Price": "价格",
    "On hand": "库存",
    "on hand": "库存",
    "Held": "占用",
    "Closed": "停售原因",
    "Fault": "故障",
    "Faults": "故障",
    "faults": "故障",
    "Code": "代码",
    "Where": "位置",
    "Detail": "说明",
    "no fault holds": "当前无故障",
    "Line": "总线",
    "{closed} closed": "停售 {closed}",
    "pouring": "正在出水",
    "+ {missing} more": "还有 {missing} 项",
    "the answer cannot be written": "输出无法写入",
    "Slave": "从机",
    "per s": "次/秒",
    "Asked": "请求",
    "Silent": "无应答",
    "Late": "迟到",
    "Mean ms": "平均毫秒",
    "Max ms": "最大毫秒",
    "Breaker": "熔断",
    "noise bytes": "杂乱字节",
    "strays": "无主应答",
    "opened": "打开次数",
    "waiting": "排队",
    "down": "不可用",
    "the cloud has everything up to": "云端已收到编号",
    "next number": "下一编号",
    "facts waiting": "待上传",
    "Kind": "类型",
    "How many": "数量",
    "Number": "编号",
    "When": "时间",
    "Clock": "时钟",
    "Order": "订单",
    "Why": "原因",
    "nothing waits for a decision": "没有待核实的出货",
    "no visit goes on": "当前没有到访",
    "since": "开始于",
    "the visit begins": "到访开始",
    "the visit is recorded: {count} actions in {minutes} minutes": "到访已记录：{minutes} 分钟内 {count} 项操作",
    "difference to the ledger": "与账面差异",
    "closed for sale": "已停售",
    "open for sale": "已恢复销售",
    "cleared": "已确认",
    "no such fault holds: see aislectl faults": "没有这个故障：请看 aislectl faults",
    "Has the stock of every aisle been counted?": "所有货道都盘点过了吗？",
    "count every aisle first, or give --yes": "请先盘点全部货道，或加 --yes",
    "confirmed: the machine may sell again": "已确认：机器可以恢复销售",
    "no planogram yet": "尚无货道配置",
    "Ctrl-C ends": "Ctrl-C 结束",
    "Water": "水",
    # reaching the agent
    "the agent does not run: systemctl status aisleflow-agent": "代理程序未运行：systemctl status aisleflow-agent",
    "this account may not ask: join the group of the socket, or use sudo": (
        "此账号无权访问：请加入套接字所属的组，或使用 sudo"
    ),
    "the agent has ended: systemctl restart aisleflow-agent, then journalctl -u aisleflow-agent": (
        "代理程序已退出：systemctl restart aisleflow-agent，再看 journalctl -u aisleflow-agent"
    ),
    "the agent hung up: journalctl -u aisleflow-agent tells why": (
        "代理程序断开了连接：原因见 journalctl -u aisleflow-agent"
    ),
    # motors
    "there is no aisle {aisle}": "没有货道 {aisle}",
    "there is nothing to turn: no planogram, or no such board": "没有可转动的电机：尚无货道配置，或没有这块驱动板",
    "nothing was turned: say yes, or give --yes": "没有转动任何电机：请回答 y，或加 --yes",
    "{count} motors turn, and what falls is booked out. Go on?": "将转动 {count} 个电机，掉出的商品记为出库。继续吗？",
    "turning": "转动中",
    "{fine} of {count} motors are fine": "{count} 个电机中 {fine} 个正常",
    "Outcome": "结果",
    "Drop": "掉货",
    "Max mA": "最大毫安",
    "Mean mA": "平均毫安",
    "ms": "毫秒",
    "Note": "备注",
    "refused": "被拒绝",
    "seen": "检测到",
    "not looked for": "未检测",
    "not booked out: the ledger had none, count this aisle": "未记出库：账面无货，请盘点此货道",
    "empty, so nothing could fall": "货道为空，不会掉货",
    # water
    "pour water for a test; it counts in no plan": "放水测试；不计入套餐",
    "how many millilitres": "毫升数",
    "which temperature": "哪种水温",
    "end the pour that runs": "停止正在进行的出水",
    "stopped": "已停止",
    "no pour runs": "没有正在进行的出水",
    "what the probes of the purifier say": "净水机各探头读数",
    "plan, filters and what the display says": "套餐、滤芯与显示内容",
    "the last pours": "最近的出水",
    "water is given": "正常出水",
    "no water": "不出水",
    "Display": "显示",
    "Plan": "套餐",
    "days": "天",
    "Meter factor": "流量计系数",
    "Outlet": "水温",
    "Asked ml": "要求毫升",
    "Poured ml": "实出毫升",
    "Charged": "收费",
    "a new cartridge was put in": "已更换滤芯",
    "which place": "第几级",
    "A new cartridge is in place {position}? Its hours begin at zero.": (
        "第 {position} 级已换上新滤芯？计时将从零开始。"
    ),
    "put it in first, or give --yes": "请先换上滤芯，或加 --yes",
    "place {position}: a new cartridge serves": "第 {position} 级：新滤芯开始使用",
    "set the meter's factor from measured pours": "按量取的出水校准流量计",
    "how much to pour each time": "每次出水毫升数",
    "how many pours": "出水次数",
    "a pour that was measured already; may be repeated": "已量取过的出水；可重复",
    "hold the meter against one measured pour": "用一次量取核对流量计",
    "how much to pour": "出水毫升数",
    "a pour that was measured already": "已量取过的出水",
    "Run {number}: put an empty jug under the outlet, then press Enter.": (
        "第 {number} 次：在出水口放好空量杯，然后按回车。"
    ),
    "not to be measured by, once more": "不能用来测量，请再来一次",
    "How many millilitres are in the jug (grams on a scale)?": "量杯里有多少毫升（或秤上多少克）？",
    "calibrate asks a person at a terminal; without one give --measured POUR=ML": (
        "校准需要有人在终端前读数；否则请给出 --measured 出水编号=毫升"
    ),
    "nothing was entered": "没有输入",
    "{text}: expected POUR=MILLILITRES, 1 to {most}, as aislectl pour prints them": (
        "{text}：应为 出水编号=毫升数（1 至 {most}），编号见 aislectl pour 的输出"
    ),
    "factor {factor} per litre from {runs} runs, {spread} % apart": "系数每升 {factor}，共 {runs} 次，相差 {spread} %",
    "the meter is off by {percent} %": "流量计偏差 {percent} %",
    "Probe": "探头",
    "Value": "读数",
    "no reading": "无读数",
    "Place": "级",
    "Filter": "滤芯",
    "Left": "剩余",
    "Powered h": "通电小时",
    "Worked h": "工作小时",
    "Litres": "升",
    # profiles
    "Modbus devices described as data": "以数据描述的 Modbus 设备",
    "the profiles that come with the agent": "随程序提供的设备描述",
    "what is wrong with a profile, line by line": "逐行检查设备描述",
    "read every register of a device; stop the agent first when the port is its own": (
        "读取设备的全部寄存器；端口被代理程序占用时请先停止它"
    ),
    "a shipped profile's name, or a file": "自带描述的名称，或文件",
    "the serial port of the device": "设备所在串口",
    "the device's address, when it is not the profile's": "设备地址（与描述不同时）",
    "give a device another address or speed, and see that it took it": "更改设备的地址或波特率，并验证是否生效",
    "its speed, when it is neither the settings' for this port nor the profile's": (
        "设备波特率（与设置中该端口的、或描述中的不同时）"
    ),
    "the new address": "新地址",
    "the new speed": "新波特率",
    "{text}: expected a whole number from {least} to {most}": "{text}：应为 {least} 至 {most} 的整数",
    "{text}: expected a number from {least} to {most}": "{text}：应为 {least} 至 {most} 的数",
    "nothing to change: give --to, --to-baud or both": "没有要更改的内容：请给出 --to、--to-baud 或两者",
    "Is the agent stopped, and is this device alone at its address?": "程序是否已停止，且该地址上只有这一台设备？",
    "connect the device alone first, or give --yes": "请先只接这一台设备，或加 --yes",
    "address {slave}, {baud} baud": "地址 {slave}，波特率 {baud}",
    "it answers": "有应答",
    "it is here now": "设备现在在此",
    "(nothing answered at {was}, and nothing was written: it is there already)": (
        "（{was} 无应答；没有写入，设备已在新位置）"
    ),
    "the port went away meanwhile. The device is here or where it was ({was}): plug the adapter in and give"
    " the same command once more, it finds the device and ends the move": (
        "端口中途断开。设备在此处或原处（{was}）：插好转接器，再执行一次同样的命令，它会找到设备并完成修改"
    ),
    "nothing answers there, nor where it was: switch the device off and on, then look with"
    " aislectl profile try at both addresses": (
        "此处与原地址都没有应答：请给设备断电再上电，然后用 aislectl profile try 查看两个地址"
    ),
    "{file} names the new address now": "{file} 已改为新地址",
    "{file} must be changed by hand: slave and baud": "请手动修改 {file} 中的 slave 与 baud",
    "{file}: can be used": "{file}：可以使用",
    "the device did not come to an end in {seconds} s": "设备在 {seconds} 秒内没有读完",
    "Profile": "设备描述",
    "Device": "设备",
    "Register": "寄存器",
    "Address": "地址",
    "Words": "原始字",
    "Problem": "问题",
    # doctor
    "What": "检查项",
    "State": "状态",
    "Seen": "所见",
    "What to do": "处理办法",
    "nothing to do": "无需处理",
    "correct the file, then: systemctl restart aisleflow-agent": "改正文件，然后：systemctl restart aisleflow-agent",
    "claim the machine again and write its secret into the file, mode 0600; or ask as root": (
        "重新认领机器，把密钥写入该文件，权限 0600；或以 root 运行"
    ),
    "readable, and only by its owner": "仅所有者可读",
    "read: journalctl -u aisleflow-agent -n 50": "请看：journalctl -u aisleflow-agent -n 50",
    "join the group of the socket, or use sudo": "请加入套接字所属的组，或使用 sudo",
    "slaves that answer": "应答的从机数",
    "the machine sells on without the cloud; look at broker and network below": (
        "机器可离线继续销售；请看下面的消息服务器与网络"
    ),
    "if it does not fall within minutes: tell the operator, ingest may stand": (
        "若几分钟内不减少：请通知运营人员，云端接收可能停了"
    ),
    "no time server answered since the start: timedatectl, and let UDP port 123 out": (
        "开机以来没有时间服务器应答：timedatectl，并放行 UDP 123 端口"
    ),
    "the clock was never set: timedatectl set-time, or connect the network; records have no time before": (
        "时钟从未设置：timedatectl set-time，或接通网络；在此之前记录没有时间"
    ),
    "stop the agent, keep the whole data folder, start it again: it sets the file aside; then count the stock": (
        "停止代理程序，保留整个数据目录，再启动：它会把损坏文件另存；然后盘点库存"
    ),
    "ask as root": "请以 root 运行",
    "every check passed": "全部检查通过",
    "not a port of this computer": "不是本机端口",
    "there is no such port; serial adapters that are plugged in": "没有这个端口；已插入的串口适配器",
    "plug the adapter in, look at dmesg, then correct url in the settings": "插好适配器，看 dmesg，再改正设置中的 url",
    "this account may not use it": "此账号无权使用",
    "add the agent's user to the group dialout": "把代理程序的用户加入 dialout 组",
    "a number, not a stable name": "是编号，不是固定名称",
    "name the port by /dev/serial/by-id/... : numbers change places when two adapters restart": (
        "请用 /dev/serial/by-id/... 命名：两个适配器重启后编号会互换"
    ),
    "create the folder, owned by the agent's user, mode 0700": "创建该目录，归代理程序用户所有，权限 0700",
    "free": "可用",
    "cannot be written": "无法写入",
    "the kernel stopped writing after an error: read dmesg, copy the data folder, replace the medium": (
        "内核因错误停止写入：看 dmesg，复制数据目录，更换存储介质"
    ),
    "free some space: journalctl --vacuum-size=100M, apt-get clean": (
        "释放空间：journalctl --vacuum-size=100M，apt-get clean"
    ),
    "about {percent} % of its life is used": "寿命已用约 {percent} %",
    "plan to replace the medium; the data folder can be copied while the agent is down": (
        "安排更换存储介质；停止代理程序后可复制数据目录"
    ),
    "put the broker's ca.crt there, or leave ca_file out for a public certificate": (
        "把消息服务器的 ca.crt 放到该处；公共证书则去掉 ca_file"
    ),
    "the clock of this computer is behind: timedatectl": "本机时钟慢了：timedatectl",
    "is the date of this computer right (timedatectl)? Then the operator renews the certificate": (
        "本机日期对吗（timedatectl）？若对，请运营人员续期证书"
    ),
    "uplink.host is no name of the broker: write it as the operator gave it": (
        "uplink.host 不是消息服务器的名称：请按运营人员给出的填写"
    ),
    "ca_file is not the broker's: put the operator's ca.crt there": (
        "ca_file 不是该消息服务器的：请放入运营人员给的 ca.crt"
    ),
    "something else listens at this port: look at uplink.port and uplink.tls": (
        "此端口上是别的服务：请看 uplink.port 和 uplink.tls"
    ),
    "no answer": "无应答",
    "is there a network (ip route, ping), is the name right (getent hosts), is the port open outwards?": (
        "有网络吗（ip route、ping）？名称对吗（getent hosts）？端口对外开放吗？"
    ),
    "not used: the broker is on this computer": "未使用：消息服务器在本机",
    "the certificate is good for {days} days": "证书还有 {days} 天有效",
    "tell the operator to renew it": "请通知运营人员续期",
    "no secret in it; send it to whoever helps": "不含密钥，可发给协助人员",
    # demo
    "play with a simulated machine": "用模拟机器练习",
    "run this instead of a shell": "运行此命令而不是终端",
    "starting a simulated machine and its agent ...": "正在启动模拟机器和代理程序……",
    "the simulated machine did not start in a minute": "模拟机器一分钟内没有启动",
    "aislectl now means the simulated machine: try aislectl status, watch, sweep.": (
        "现在 aislectl 指向模拟机器：试试 aislectl status、watch、sweep。"
    ),
    "aislectl simulate breaks and mends it, e.g. fault jam, door open, mend. exit ends the demo.": (
        "aislectl simulate 制造和排除故障，例如 fault jam、door open、mend。exit 结束演示。"
    ),
    "break and mend the simulated machine of the demo": "给演示的模拟机器制造和排除故障",
    "let something go wrong until it is mended": "造成一种故障，直到排除",
    "which: docs/simulator.md has them all, and a wrong one is answered with the list": (
        "哪种故障：全部见 docs/simulator.md，写错时会列出"
    ),
    "board, board/MOTOR, a device (valves, meter ...), valves/RELAY; without it everywhere": (
        "board、board/电机、设备名（valves、meter 等）、valves/继电器；不写则全部"
    ),
    "{where}: expected a device, or board/MOTOR or valves/RELAY": "{where}：应为设备名，或 board/电机、valves/继电器",
    "end one fault, or everything that goes wrong": "排除一种故障，或全部",
    "which fault; without it all of them": "哪种故障；不写则全部",
    "let every kind of fault strike by chance, or none": "让各种故障随机发生，或都不发生",
    "all or none": "all 全部，none 没有",
    "open or shut the door": "开门或关门",
    "pull the port's cable, or put it in": "拔出或插入端口线缆",
    "how": "怎样",
    "let the supply dip: every board and device restarts": "电源瞬断：驱动板和设备全部重启",
    "set the cabinet's temperature; -40 and 120 break the probe": "设定柜内温度；-40 和 120 表示探头损坏",
    "degrees": "摄氏度",
    "let the meter's counter stand somewhere else; it begins again after 4294967295": (
        "改变流量计的计数；超过 4294967295 后从零开始"
    ),
    "at how many pulses": "多少个脉冲",
    "put in a membrane that is worn so far; 0 is a new one": "装入磨损到某种程度的膜；0 为新膜",
    "how much of its life is over": "寿命已用百分之几",
    "give a device another address or speed, as if a person had set it": "如同人工设置，改变设备的地址或波特率",
    "its name, as in aislectl bus": "设备名，见 aislectl bus",
    "nothing to change: give --slave, --baud or both": "没有要改的：请给出 --slave、--baud 或两者",
    "what the simulator knows: where the water went, and every valve": "模拟器所知的真相：水去了哪里，每个阀门的状态",
    "came out": "实际出水",
    "was lost": "漏失",
    "the meter counted": "流量计读数",
    "is in the tank": "水箱存水",
    "TDS before and behind the membrane": "膜前、膜后 TDS",
    "of the membrane's life is over": "膜寿命已用",
    "valve": "阀门",
    "products fell": "掉落商品",
    "there is no simulated machine here: aislectl demo starts one": "这里没有模拟机器：用 aislectl demo 启动",
    "done": "完成",
}

# Words of the protocols: English for people, Chinese.
WORDS: Final[Mapping[str, tuple[str, str]]] = {
    # outcomes and their reasons
    "delivered": ("delivered", "已出货"),
    "failed": ("failed", "未出货"),
    "unknown": ("unknown", "无法确认"),
    "void": ("withdrawn by the cloud", "已被云端撤销"),
    "late_grant": ("no grant in time", "授权未及时到达"),
    "aisle_closed": ("aisle closed or empty", "货道停售或无货"),
    "not_selling": ("the machine does not sell", "机器停售"),
    "refused": ("the board has no such motor", "驱动板没有这个电机"),
    "never_began": ("the motor never turned", "电机没有转动"),
    "jam": ("jam", "卡货"),
    "open_motor": ("motor absent or wire broken", "电机缺失或断线"),
    "nothing_seen": ("nothing seen to fall", "未检测到掉货"),
    "board_reset": ("the board restarted in between", "驱动板中途重启"),
    "board_silent": ("board silent", "驱动板无应答"),
    "no_proof": ("nobody can prove it", "无法证明"),
    "motor_fault": ("motor fault without a drop sensor", "电机故障且无掉货检测"),
    "ok": ("ok", "正常"),
    "over_current": ("over-current", "过流"),
    "open": ("open circuit", "断路"),
    "no_stop_signal": ("no stop signal", "无到位信号"),
    "heavy": ("draws much more than its neighbours: stiff gear or tight spiral", "电流远大于同板电机：齿轮或弹簧过紧"),
    "light": ("draws much less than its neighbours: spiral loose on its shaft?", "电流远小于同板电机：弹簧可能松脱"),
    "slow": ("takes much longer than its neighbours", "用时远长于同板电机"),
    "quick": ("takes much less time than its neighbours: stop switch?", "用时远短于同板电机：检查到位开关"),
    # pours
    "ended": ("ended", "已结束"),
    "doubtful": ("volume doubtful", "水量存疑"),
    "target": ("all of it", "已足量"),
    "stopped": ("stopped", "已停止"),
    "stalled": ("nothing flowed any more", "水流中断"),
    "max_time": ("limit of time", "达到时间上限"),
    "max_volume": ("limit of volume", "达到水量上限"),
    "valve_stuck": ("the valve does not follow", "阀门不动作"),
    "power_lost": ("the agent ended in between", "代理程序中途退出"),
    "meter_lost": ("the meter fell silent", "流量计失去应答"),
    "valve_lost": ("the valve's relay fell silent", "阀门继电器失去应答"),
    "plan_ended": ("the plan has ended", "套餐已结束"),
    "unfit": ("the water is not fit", "水质不合格"),
    # conditions
    "band/cold": ("too cold", "过冷"),
    "band/normal": ("normal", "正常"),
    "band/warm": ("too warm", "过热"),
    "band/sensor_fault": ("sensor broken", "探头故障"),
    "synced": ("set by a time server", "已由时间服务器校准"),
    "restored": ("plausible, not confirmed", "大致可信，未校准"),
    "unset": ("never set", "从未设置"),
    "breaker/closed": ("well", "正常"),
    "breaker/open": ("left alone: it was silent too often", "已熔断：多次无应答"),
    "breaker/probing": ("being probed", "试探中"),
    # faults
    "fault/stopped": ("stopped by the operator", "被运营停机"),
    "board_wrong": ("another board than expected", "驱动板不符"),
    "sensor_blocked": ("drop sensor blocked", "掉货检测被遮挡"),
    "drop_sensor": ("drop sensor blind", "掉货检测失灵"),
    "watermark_ahead": ("old copy of the ledger", "账本是旧副本"),
    "uplink_denied": ("the broker refuses this machine", "消息服务器拒绝本机"),
    "uplink_stalled": ("the cloud confirms nothing", "云端没有确认"),
    "command_differs": ("a command came twice, with other content", "同一指令两次到达，内容不同"),
    "water_leak": ("leak", "漏水"),
    "meter_silent": ("flow meter silent", "流量计无应答"),
    "valve_silent": ("valves silent", "阀门无应答"),
    "meter_drift": ("flow meter drifts", "流量计偏差"),
    # probes
    "tds_in_ppm": ("TDS in", "进水 TDS"),
    "tds_out_ppm": ("TDS out", "出水 TDS"),
    "pressure_kpa": ("pressure", "压力"),
    "level_mm": ("tank level", "水箱液位"),
    "temperature_tenths_c": ("water temperature", "水温"),
    "rejection_percent": ("rejection", "脱盐率"),
    # outlets and plans
    "outlet/normal": ("normal", "常温"),
    "outlet/cold": ("cold", "冷水"),
    "outlet/warm": ("warm", "温水"),
    "outlet/hot": ("hot", "热水"),
    "plan/sale": ("sold with the device", "整机销售"),
    "plan/vending": ("paid by the pour", "按量付费"),
    "plan/timed_rental": ("rented by time", "按时租赁"),
    "plan/metered_rental": ("rented by litres", "按量租赁"),
    "plan/test": ("for the workshop", "检测"),
    "pour/open": ("running", "出水中"),
    "pour/refused": ("refused", "已拒绝"),
    "claimed": ("claimed", "已认领"),
    # doctor: checks and states
    "settings": ("settings", "设置"),
    "secret": ("machine secret", "机器密钥"),
    "agent": ("agent", "代理程序"),
    "sale": ("sale", "销售"),
    "water": ("water", "出水"),
    "fault": ("fault", "故障"),
    "port": ("port", "端口"),
    "wiring": ("line", "接线"),
    "cloud": ("cloud", "云端"),
    "clock": ("clock", "时钟"),
    "disk": ("disk", "磁盘"),
    "wear": ("wear of the medium", "存储磨损"),
    "broker": ("broker", "消息服务器"),
    "tls": ("TLS", "TLS"),
    "ledger": ("ledger", "账本"),
    "warn": ("look", "注意"),
    "bad": ("bad", "异常"),
    # doctor: error patterns of a line
    "port_down": ("the port does not open", "端口打不开"),
    "adapter_lost": ("the adapter came and went", "适配器反复断开"),
    "all_silent": ("nothing comes back", "没有任何应答"),
    "garbage": ("bytes come back, none of them an answer", "有数据返回但不是应答"),
    "one_silent": ("does not answer, while others do", "不应答，其他从机正常"),
    "lossy": ("answers are missing", "时有丢失应答"),
    "noisy": ("bytes between the answers", "应答之间有杂乱字节"),
    "late": ("answers come too late", "应答迟到"),
    "strays": ("answers that nobody asked for", "出现无人请求的应答"),
}

# What to do about what is in no table: newer software may know more faults.
LOOK_IT_UP: Final = ("the guide has a page for each fault: docs/technician", "手册对每种故障都有一页：docs/technician")

# What to do about an error pattern of a line, and about a fault.
FIXES: Final[Mapping[str, tuple[str, str]]] = {
    "port_down": (
        "is the adapter plugged in, does another program hold the port (fuser), is its path right?",
        "适配器插好了吗？有别的程序占用端口吗（fuser）？路径对吗？",
    ),
    "adapter_lost": (
        "the USB adapter loses power or contact: another cable, another socket, a powered hub",
        "USB 适配器供电或接触不良：换线、换口，或用带电源的集线器",
    ),
    "all_silent": (
        "no power, A and B exchanged, a wrong address or speed: measure 24 V, swap A and B, read the switches",
        "没电、A/B 接反、地址或波特率不对：量 24 V，对调 A/B，看拨码开关",
    ),
    "garbage": (
        "wrong baud rate or parity, A and B exchanged, or two devices with one address: check them one at a time",
        "波特率或校验不对、A/B 接反，或两台设备同一地址：逐台接上检查",
    ),
    "one_silent": (
        "this device has no power, another address, or its wire is off: look at its switches and its terminal",
        "该设备没电、地址不同或断线：看拨码开关和接线端子",
    ),
    "lossy": (
        "loose wire, missing 120 ohm at both ends, no common ground, or the cable lies beside a motor cable",
        "接线松动、两端缺 120 欧终端电阻、没有共地，或与电机线并行",
    ),
    "noisy": (
        "interference: twisted pair, shield on one side to ground, away from motor and mains cables",
        "有干扰：用双绞线，屏蔽层单端接地，远离电机线和市电",
    ),
    "late": (
        "the device is slow: raise min_gap_ms of its line in the settings; if it stays so, exchange it",
        "设备响应慢：在设置中加大该总线的 min_gap_ms；仍然如此则更换设备",
    ),
    "strays": (
        "a second master, or two devices with one address: unplug one after the other",
        "存在第二个主机，或两台设备同一地址：逐台拔下检查",
    ),
    "board_silent": (
        "power, wires and address of the board: look at its line below; the fault ends by itself",
        "查驱动板的供电、接线和地址：见下面的接线一项；恢复后故障自动解除",
    ),
    "board_wrong": (
        "two adapters were exchanged, or it is another model: correct url or expect in the settings",
        "两个适配器互换，或换了型号：改正设置中的 url 或 expect",
    ),
    "sensor_blocked": (
        "take out what stands between the two bars and wipe them; the fault ends by itself",
        "取出两条检测条之间的异物并擦拭；故障自动解除",
    ),
    "drop_sensor": (
        "wipe both bars and prove with aislectl test-aisle that a drop is seen, then: aislectl clear drop_sensor",
        "擦拭检测条，用 aislectl test-aisle 确认能检测到掉货，再 aislectl clear drop_sensor",
    ),
    "stopped": ("ask the operator: only he ends it", "询问运营人员：只有运营人员能解除"),
    "watermark_ahead": (
        "stop the agent and put the newest data folder in place; there is none: see old-copy in docs/technician",
        "停止代理程序，放回最新的数据目录；没有更新的：见 docs/technician 的 old-copy",
    ),
    "uplink_denied": (
        "the secret is wrong or was taken away: ask the operator for a new one, or about the broker's access rules",
        "密钥不对或已作废：请运营人员换发密钥，或检查消息服务器的访问规则",
    ),
    "uplink_stalled": (
        "tell the operator: the broker takes everything and the cloud confirms nothing; do nothing here",
        "通知运营人员：消息服务器都收下了，云端没有确认；此处无需操作",
    ),
    "command_differs": (
        "tell the operator, who may have restored a backup of the cloud, then: aislectl clear command_differs",
        "通知运营人员（云端可能恢复了备份），再 aislectl clear command_differs",
    ),
    "water_leak": (
        "shut the feed, find the leak and mend it, then: aislectl clear water_leak",
        "关闭进水，找到漏点并修好，再 aislectl clear water_leak",
    ),
    "meter_silent": (
        "power, wires and address of the meter: look at its line below; the fault ends by itself",
        "查流量计的供电、接线和地址：见下面的接线一项；恢复后故障自动解除",
    ),
    "valve_silent": (
        "power, wires and address of the relay board: look at its line below; the fault ends by itself",
        "查继电器板的供电、接线和地址：见下面的接线一项；恢复后故障自动解除",
    ),
    "meter_drift": (
        "look for air and a clogged strainer, then: aislectl check-meter, aislectl calibrate",
        "检查空气和滤网，再 aislectl check-meter、aislectl calibrate",
    ),
}

# What to do about a reason not to sell, by what its English sentence holds; the first that fits, the gravest first.
STOPS: Final[tuple[tuple[str, str, str], ...]] = (
    (
        "the ledger was damaged",
        "count every aisle, then: aislectl confirm-ledger; the guide: ledger-damaged",
        "逐个盘点货道，再 aislectl confirm-ledger；见手册 ledger-damaged",
    ),
    (
        "bytes free",
        "free some space: journalctl --vacuum-size=100M; never delete anything in the data folder",
        "释放空间：journalctl --vacuum-size=100M；切勿删除数据目录里的文件",
    ),
    (
        "facts wait for the cloud",
        "restore the connection; see what is said of broker and network below",
        "恢复连接；请看下面的消息服务器与网络",
    ),
    (
        "no configuration",
        "connect the machine: the cloud sends it; none comes: ask the operator",
        "让机器联网，云端会下发；没有下发：询问运营人员",
    ),
    (
        "this ledger never numbered",
        "stop the agent and put the newest data folder in place; the guide: old-copy",
        "停止代理程序，放回最新的数据目录；见手册 old-copy",
    ),
    ("stopped: ", "ask the operator: only he ends it", "询问运营人员：只有运营人员能解除"),
    ("the door is open", "shut the door; is it shut, look at its switch", "关门；门已关则检查门开关"),
    (
        "temperature: sensor_fault",
        "the probe's plug at the board with the lowest address; then the probe",
        "查地址最小的驱动板上的探头插头，再查探头",
    ),
    (
        "temperature: ",
        "does the compressor run, is the condenser dusty, does the door seal?",
        "制冷运转吗？冷凝器有灰吗？门封严吗？",
    ),
    ("settling", "wait a minute: it settles the last run by itself", "稍等一分钟：机器正在自行核实"),
    ("no aisle board answers", "power, wires and addresses of the boards", "查驱动板的供电、接线和地址"),
    (
        "Leak found",
        "shut the feed, find the leak and mend it, then: aislectl clear water_leak",
        "关闭进水，找到漏点并修好，再 aislectl clear water_leak",
    ),
    (
        "Water quality",
        "rinse with aislectl pour 2000, look at aislectl sensors; then the membrane",
        "aislectl pour 2000 冲洗，看 aislectl sensors；再换膜",
    ),
    (
        "A filter is used up",
        "exchange it, rinse, then: aislectl new-filter PLACE",
        "更换滤芯并冲洗，再 aislectl new-filter 级号",
    ),
    (
        "The rental has ended",
        "the customer renews; with a connection the new plan arrives by itself",
        "由客户续费；联网后新套餐自动到达",
    ),
    (
        "The prepaid litres",
        "the customer tops up; with a connection the litres arrive by itself",
        "由客户充值；联网后水量自动到达",
    ),
    ("The flow meter", "power, wires and address of the meter", "查流量计的供电、接线和地址"),
    ("The valve", "power, wires and address of the relay board", "查继电器板的供电、接线和地址"),
)

# Sentences that the agent makes; what stands in brackets goes over, translated where it is a sentence itself.
PATTERNS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern, re.DOTALL), told)
    for pattern, told in (
        ("the ledger was damaged: a person must count the stock and confirm", "账本损坏：需盘点库存并确认"),
        (
            r"(.*): (\d+) bytes free, (\d+) are kept for outcomes: free some space",
            r"\1：仅剩 \2 字节，须保留 \3：请释放空间",
        ),
        ("no configuration yet", "尚无配置"),
        # Before "stopped: ...", which would swallow it.
        ("(.*): nobody clears this at the machine: ask the operator", r"\1：现场不能解除，请询问运营人员"),
        (
            r"(.*): answer to ID: expected a name that begins with '(.*)', not '(.*)' \(.*",
            r"\1：型号应以 '\2' 开头，读到 '\3'（端口对吗？请核对总线的 url 与 expect）",
        ),
        ("stopped: (.*)", r"已停机：\1"),
        ("the door is open", "门开着"),
        ("temperature: cold", "温度过低"),
        ("temperature: warm", "温度过高"),
        ("temperature: sensor_fault", "温度探头故障"),
        ("no aisle board answers", "没有驱动板应答"),
        ("(no aisle board answers); (.*)", r"\1；\2"),
        # why there is no water, as the display says it
        ("Leak found, water is shut off. Please call service", "检测到漏水，已关闭出水，请联系维护人员"),
        ("Water quality is out of range. Please call service", "水质未达标，暂停出水，请联系维护人员"),
        ("A filter is used up. Please call service", "滤芯已到期，请联系维护人员更换"),
        ("The rental has ended. Please renew it", "租期已到，请续费"),
        ("The prepaid litres are used up. Please top up", "预付水量已用完，请充值"),
        ("The flow meter does not answer. No water for now", "流量计无应答，暂停出水"),
        ("The valve does not answer. No water for now", "阀门无应答，暂停出水"),
        ("Test mode", "设备检测中"),
        ("Out of service", "暂停服务"),
        # why nobody can say how much a pour has given
        (
            r"the meter counted (.*) ml more than pace and time explain, give or take (.*); (.*) may be off",
            r"流量计比按流速与时间推算多计 \1 毫升（误差 \2 毫升，容许 \3 毫升）",
        ),
        (
            r"the meter counted (.*) ml less than pace and time explain, give or take (.*); (.*) may be off",
            r"流量计比按流速与时间推算少计 \1 毫升（误差 \2 毫升，容许 \3 毫升）",
        ),
        ("the pace jumped: a leak that came or went, or a rotor that stood", "流速突变：中途漏水，或转子卡过"),
        (
            r"(.*) ml/s flowed, usual are (.*): a leak all the time, or another pump",
            r"流速 \1 毫升/秒，平时 \2：一直漏水，或换过水泵",
        ),
        (
            r"(.*) ml/s flowed, this new outlet is set to (.*): perhaps a leak",
            r"流速 \1 毫升/秒，此新出水口设定为 \2：可能漏水",
        ),
        (r"(.*) ml came after the order to shut, which no valve gives", r"关阀后又流出 \1 毫升，阀门不会如此"),
        (
            r"(.*) ml too little came before the order to shut: a rotor that stood",
            r"关阀前少计 \1 毫升：转子卡过",
        ),
        ("the pour was too short for an outlet of which nothing is known", "出水太短，而此出水口尚未学习"),
        ("the meter did not answer any more", "流量计不再应答"),
        ("water still passed the meter when the valve was long shut", "阀门早已关闭，流量计仍在走"),
        ("the meter was cleared or disturbed", "流量计被清零或受干扰"),
        ("the meter stood still, and no probe shows that there was no water", "流量计不走，且没有探头证明当时无水"),
        ("water flowed unasked", "未经指令而出水"),
        ("the relay never answered an order to open", "继电器始终未应答开阀指令"),
        ("the relay never answered an order to shut", "继电器始终未应答关阀指令"),
        ("nobody saw it: the machine was without power, or the file is lost", "无人见证：机器断过电，或记录文件丢失"),
        (
            "the agent died over an order, and nobody knows whether the relay had heard it",
            "代理程序在发令时退出，不知继电器是否收到",
        ),
        ("settling what the last run left open", "正在核实上次未完成的出货"),
        ("not asked yet", "尚未询问"),
        ("drop sensor blocked", "掉货检测被遮挡"),
        (r"(.*): silent, next probe in (\d+) ms", r"\1：无应答，\2 毫秒后再试"),
        ("it did not take what was written", "写入后没有生效"),
        ("it may wait for its power", "可能要断电重启后才生效"),
        (r"(.*): no answer to (.*) within (\d+) ms", r"\1：\3 毫秒内未应答 \2"),
        ("there is no aisle (.*) in this machine's configuration", r"本机配置中没有货道 \1"),
        ("there is no aisle (.*)", r"没有货道 \1"),
        (r"the drop sensor of board (\d+) is blocked", r"驱动板 \1 的掉货检测被遮挡"),
        (
            "the drop sensor sees something although nothing falls: remove what blocks it, clean it",
            "没有掉货时检测到遮挡：请清除遮挡并擦拭",
        ),
        (
            r"(\d+) runs in a row with a sound motor and no drop seen: clean and test the drop sensor",
            r"连续 \1 次电机正常却未检测到掉货：请擦拭并测试掉货检测",
        ),
        (
            r"(\d+) facts wait for the cloud, \d+ are the limit: restore the connection",
            r"\1 条记录等待上传，已达上限：请恢复连接",
        ),
        # why there is no connection
        ("the broker refused the connection: .*", "消息服务器拒绝登录：密钥不对或已作废"),
        (r"(.*): (?:publish|subscription) refused: .*", r"消息服务器不允许 \1"),
        ("the broker ended it: Session taken over", "另一台电脑用同一密钥登录"),
        ("the broker closed the connection", "消息服务器断开了连接"),
        (r"(.*?: )?connection lost \((.*)\)", r"\1连接中断（\2）"),
        (r"(.*?: )?no TLS is spoken there \(.*\)", r"\1对方不使用 TLS"),
        (r"(.*?: )?Multiple exceptions: .*", r"\1各个地址都连不上"),
        (r"(.*): no connection within (\d+) s", r"\1：\2 秒内未连上"),
        (
            r"facts (\d+) to (\d+) are sent, the cloud confirmed none in (\d+) min",
            r"已发送 \1 至 \2 号记录，云端 \3 分钟没有确认",
        ),
        (
            r"watermark (\d+): the cloud has facts that this ledger never numbered \(next_seq=(\d+)\)",
            r"云端已有 \1 号记录，而本机账本的下一编号是 \2",
        ),
        (r"(.*?: )?(?:certificate verify failed: )?certificate has expired", r"\1证书已过期"),
        (r"(.*?: )?(?:certificate verify failed: )?certificate is not yet valid", r"\1证书尚未生效"),
        (
            r"(.*?: )?(?:certificate verify failed: )?(?:self-signed certificate|unable to get local issuer).*",
            r"\1证书不是由所信任的机构签发",
        ),
        (
            r"(.*?: )?(?:certificate verify failed: )?.* mismatch, certificate is not valid for '(.*)'\.?",
            r"\1证书不包含名称 \2",
        ),
        (r"(.*?: )?Connection refused", r"\1连接被拒绝"),
        (r"(.*?: )?Connection reset by peer", r"\1连接被对方重置"),
        (r"(.*?: )?(?:Name or service not known|Temporary failure in name resolution)", r"\1无法解析名称"),
        (r"(.*?: )?Network is unreachable", r"\1网络不可达"),
        (r"(.*?: )?No such file or directory", r"\1文件不存在"),
        (r"(.*?: )?holds no certificate", r"\1不是证书文件"),
        ("Permission denied", "没有权限"),
        ("Read-only file system", "文件系统只读"),
        ("No space left on device", "磁盘已满"),
        ("standard output is closed", "标准输出已关闭"),
        ("Input/output error", "读写错误"),
        ("the agent closed the local socket", "代理程序关闭了套接字"),
        ("the visit of (.*) goes on: end it first", r"\1 的到访尚未结束：请先结束"),
        ("no visit goes on: begin one first", "当前没有到访：请先开始"),
        # pours, the meter and filters
        ("no configuration of a purifier yet", "尚无净水配置"),
        ("outlet: '?(.*?)'? is not one of this machine's", r"本机没有出水口 \1"),
        ("somebody is being served", "正在为他人服务"),
        (r"pour (.*) is running", r"出水 \1 正在进行"),
        (r"order (.*) is running", r"订单 \1 正在进行"),
        (r"ml: (-?\d+): expected 1 to (\d+)", r"毫升数 \1：应为 1 至 \2"),
        (r"(\d+) ml cost up to (\d+) fen, (\d+) were paid", r"\1 毫升最多需 \2 分，已付 \3 分"),
        (r"aisle (.*) costs (\d+) fen, (\d+) were paid", r"货道 \1 售价 \2 分，已付 \3 分"),
        (r"measured_ml: (-?\d+) is little, expected (\d+)(?: or more)?", r"量得 \1 毫升太少，应不少于 \2"),
        (r"order: '?(.*?)'? is no pour of this machine", r"本机没有出水记录 \1"),
        (r"pour (.*) is (.*): measure one that ended", r"出水 \1 的状态是 \2：请用正常结束的出水"),
        (r"pour (.*) was counted by meter (.*)", r"出水 \1 由流量计 \2 计量"),
        (r"runs: none was measured, expected one or more pours", "没有量过的出水，至少需要一次"),
        (r"runs: (\d+) are given, a check takes one", r"给出了 \1 次，核对只用一次"),
        (r"counts: the meter counted (-?\d+) in (\d+) ml: check the meter", r"\2 毫升只计了 \1：请检查流量计"),
        (
            r"spread: the runs lie (.*) % apart, expected (.*) % or less: measure again, .*",
            r"各次相差 \1 %，应不超过 \2 %：请把同一量杯放平，重新测量",
        ),
        (
            r"factor: (.*) counts per litre is more than (.*) % from the maker's (.*): check .*",
            r"每升 \1 个计数，与厂家的 \3 相差超过 \2 %：请核对流量计型号和量得的水量",
        ),
        (r"position: (-?\d+) has no filter in the configuration, expected (.*)", r"配置中位置 \1 没有滤芯，应为 \2"),
        ("the flow meter cannot be read: (.*)", r"流量计无法读取：\1"),
        (
            r"(\d+) ml passed the meter while every valve was shut: .*",
            r"所有阀门关闭时有 \1 毫升流过流量计：请查找漏水，再解除故障",
        ),
        (
            r"water still passes the meter after outlet (.*) was shut: .*",
            r"出水口 \1 关闭后流量计仍有水流：阀门卡住或漏水",
        ),
        (r"the meter shows (.*) % of a measured pour: calibrate it", r"流量计与量得的水量相差 \1 %：请校准"),
        (
            r"the meter counts (.*) % against the pours after its factor was set: .*",
            r"与设定系数后的出水相比，计数偏差 \1 %：流量计磨损或水流改变；请量三次并校准",
        ),
        (r"TDS behind the membrane is above (\d+) ppm", r"膜后 TDS 高于 \1 ppm"),
        # test runs
        ("another test run is open", "另一次试转尚未结束"),
        ("what the last run left open is being settled: try again in a minute", "正在核实上次未完成的：请一分钟后再试"),
        (r"aisle (.*): board (\d+) is not in the settings", r"货道 \1：设置中没有驱动板 \2"),
        (r"board (\d+) is busy with motor (\d+)", r"驱动板 \1 正在转动电机 \2"),
        (
            r"(.*): an ADH(.*) has no known drop detection: set it off",
            r"\1：ADH\2 没有已知的掉货检测：请在配置中关闭",
        ),
        (r"aisle (.*): (-?\d+) on hand, (-?\d+) held, none to sell", r"货道 \1：现有 \2，占用 \3，无可售"),
        # device profiles and ports
        (
            r"(.*): its profile has no table \[own\]: set it the maker's way",
            r"\1：描述中没有 [own]：请按厂家的方法设置",
        ),
        (r"slave: (-?\d+): expected 1 to (\d+)", r"地址 \1：应为 1 至 \2"),
        (r"slave: a device answers at (\d+) already, expected a free address", r"地址 \1 已有设备应答，请用空闲地址"),
        (r"baud: (\d+): expected no other speed", r"波特率 \1：该设备不能改波特率"),
        (r"baud: (\d+): expected (.*)", r"波特率 \1：应为 \2"),
        (r"(.*?: )?no such port; (.*)", r"\1没有这个端口；\2"),
        (r"(.*?: )?not a serial port; (.*)", r"\1不是串口；\2"),
        ("no serial port exists here: is the adapter plugged in\\?", "此处没有任何串口：适配器插好了吗？"),
        ("these exist: (.*)", r"现有：\1"),
        (
            r"(.*?: )?no permission: add the agent's user to the group that owns it .*",
            r"\1没有权限：请把用户加入 dialout 组",
        ),
        (r"(.*?: )?in use by another program: .*", r"\1被别的程序占用：另一个代理程序、终端程序或 ModemManager"),
        # a number that the agent does not take
        (r"(\w+): Expected `int` >= (\S+) - at `\$\.(\w+)`", r"\3：应不小于 \2"),
        (r"(\w+): Expected `int` <= (\S+) - at `\$\.(\w+)`", r"\3：应不大于 \2"),
        (r"aisle (.*): (\d+) to be taken out, (\d+) available", r"货道 \1：要取出 \2，可用 \3"),
        ("aisle (.*): a vend is running; count when it has ended", r"货道 \1：正在出货，请结束后再盘点"),
        ("another sale is running", "正在出货"),
        ("do: '(.*)' is not known: .*", r"此代理程序不支持：\1"),
    )
)
