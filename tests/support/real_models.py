"""Small files that the real libraries wrote, packed: xgboost, lightgbm, catboost, sentencepiece, pyarrow, scipy, skops."""

from __future__ import annotations

import base64
import zlib


def _unpacked(*rows: str) -> bytes:
    return zlib.decompress(base64.b85decode("".join(rows)))


HONEST: dict[str, tuple[str, bytes]] = {
    "xgboost tree ubj": (
        "model.ubj",
        _unpacked(
            "c-q}oJxmlq6uut>IXFE<3u`GfQ6qvD7I0@`VM0f&E@U#h`)(OBJ9C+tL-BI4Hx^p?Q)r@{g^3Lo8f;7~D1gG)+8S#UJDpu_XLgsxXhI0G*Swwg?VI<$_r1&O&K9<wAqrS95Z(Bof|U})=_ruhUVK<>0ahIWh~WTa^K^VZFc(`zY)!|St~I@F!PIg)8LSW+HD6$l08_}}T&hHJhXU>aHLn9MR?@tcfw_6n;_D>%fetF0<8(W!",
            "BDqlDA>!Rm`3(ifeMboZ6lH+gSm40ie2jI1=!jD73t_hGiP#zrL7`7t=cEZ=Bf3tk2xo{eudPIaWKtkSQX*v&DN2N}7Pp|X2I-$6D!M4)Ho1;ESOU5Q#9s)h@GNAqv3Yj&=lbN#3Hid%q8SFC3j+DH)vO;e%}hROEP=9JnEi7&N$x;CYSe=k?ofp&v{ZBarY#`>DiP1pQ4NvET_DsGz>+zJpA>)fA9DfaQffG6KBPIiHaGkr",
            "o6eB#d{$TGyE<GJctnJx@0dm@n?_BxDbaY&JQ6A+oyv6K1I@Opy7h%t5OLGJC>Iis6@3H`=Wr()N2FHm0!T?POI_axo;+=oUZ1Rg{!%gVB4MUyV<eQl9vRTnWrcq+<?c_Ybx);+CK6U+Xe>WkB3cBvg_gioTqLHh*ZT{_zk79meRXZ-()8CG_+Ti$xa*2<{5bV;KPf)buDw+J{MyI*_j8-|jm4G!R`Dx?&sX1^sZPIt*f|)A",
            "FYUhKpIv#hpA?^I*Ip`q=H7h$Q}<i_?c<Gosd%$K4TOuSaSd+mYQ{U(UvhJow@NfD(&dTd4mYPRT)uvOV%}_j(I$#of(HmM=}pbwam8~fmh#_Os6^`_7CxwCi6%667Ipn(3A*_;A9V=BV)-iNK9P#JR*>MMNbBjcYtqG3H<HW#A4NW~L%LY0b(!2W%X%3t^nL^CV6L(",
        ),
    ),
    "xgboost dart json": (
        "model.json",
        _unpacked(
            "c-qC5ZExEk5XZj@uN{j=gZn<8qM9sh6PL*`5s+?O)$hJL?6m2sRjQ`7N|4OK9sfIi@#T@s&c?+>a`Q-R&e8Yh>=MkLDspf(pQGy*dqmSMv7{nBi~+_-zP;?o52vyNOjER@cT4X25K>+PPkoNg;nOjUZpMefW;}(sWmx?#p^}@9;J!smA!avre*B4Z(6ol?N}TRwqdj7j<$NrYc?Rox7GWR~?Kp*KL=bTIpvYz)md-EZDTBIO",
            "TCs{(0uC#Y{c;G!3ZKn}S{_Mnlk0vsKiw5^vQ~^YO3MAtR6AK4)hcE7J65S$x5l)vz#sr5>ZTC=r9Ln7Zh<7;T3;97dcps?Y#-ghp6A@n?vSs<`jOnwilDU{?)*GPx4<&1cKC%2b4UqR>@t-|s^(g?Lhe~b_Y?>0fjVx-b0)PkqLF%wA2Ips$ox5SI?W!I!ZLa+FS@guD=jGJSd@1vw7SB5_@St}WV6~4t!pFP=$%W++mcx=",
            "jRN(iW{p;qD#)U#8^hK9a(S;I0csoo1vt<RkBvL9$j!1{3jhPhLCvAc_R!tCA%|GFdU~qf;IM;QQmHlMB&waL+oo+ARZ^F=FjTeXi-2Gs07BHX5n3_x8AQBSq<>;Un1*wyAqQOx*>X-z;X*MuyZHh#l#;-^+R%^<rAA}Y0#R)>(E250@DGr|>Q-yGEcH2L{Iy2^1O{t0<H&YXb0LgY$OXKNgqBqPUoNnBVIPI*)(u|_qm3Cn",
            "S7f>|h7+m<Y1=^Gtxf;g_zG)j2t^L|B&-s4X>7jTA%<gT@1f;Q*Bx<~ZA$MZlx>_`UZqzg^xq*Be_uNIrn&cvjSn|-n0(3}{}4nsbp@JdacQtKR5PUQ*RYiWB7&p@H;-=|=)I8OZ`5t3_y",
        ),
    ),
    "xgboost linear json": (
        "model.json",
        _unpacked(
            "c-lpf(XN9a42Iu@Ycz^(>h67t#gM8UhZ6(?xRYhsyPu*ayJ!M`+rMA?W(L7q^z8O#5Tn=Q7BSH8!`TBNZXTtDB}sP%jI)tqqL|t6t%$F6uOLZzm^IocN9RI3j2AbfNsmLDrFWa1siETR54HM<safPzSBg^f1;6HvsLHmf`>f_7Z<|K6W!q<hXI0*G-Syh_SxK2oQPo9C48)r_*^Q~uXiHl$lFseqP9RtCu<RTVP=?9*RDZAY",
            "3%Lzxxx^<Q-YpWI=s~4?NeR0xaxxHzlNIOxT%MHrR3dnVac`m7Zv4e5>L;d&C)=nk_}9%ir9;%|jvkdXE`%>!n82W1U699Z4!;jM5>n94(yb~kcrkqb0juec%m",
        ),
    ),
    "xgboost tree json": (
        "model.json",
        _unpacked(
            "c-qC4-EQL`5QX1`Yscc(;N0gas>&iZaalPg0@B@Xm3QA6;<V{jTdAtHQDVsqa5yu3@;sBt**LpM*3ZP|9R2o~U4qf6B0FdEF}iNHdkozXODeL3r-x@C_pdAR)1j<@&=~FD-JH8^2q~Y1_hE1ozVtSuHgR)*UVRZrZrsDBMI(in-O%~r7mmTnxXsbIuIO|J8|@xd=HtE$rU|0BfUF4vYZ%8Ns1ZS6y9XaO`!IKY9u65i-O-9w",
            "yb^F&QTFpLlqmd`7<zdoTbo?>)A{kCn3J_)yirnaR;F6X+Nf43vstl9)w(sNg$V`%kf<9&^p~o<j=LF>cprURfa?kW`?7p+JA0gRH@RKDGV2GjrWL_x*FX4ah;D{yR;}<43#O0~%-DG>N~-2swL)%KMK=^5SOaxjj^|8jX+$ISq8~B&Yi0hToDP$RsW1;7%ZuAt&6O6Eb1cdS6*_N)`|y2nb;;%&N1(2QaH9_{C2vb+wKNLc",
            "o0>IRQK}$|rfv*Zo6F_Bg#@T^02JUr7d#g3AR?E@axDN190xUrD%)N6==vOD;p%j%-r=x<T2iSs<Rq$<sN1G(8dXx4wJ=n*=0-rUPXHlm+6b+f`3@pJD$<vj5T@Z=YREy?LbjY!Q@BtJ&Tei%hEfuER|^`lq10$hS|F;e23l`I2LA*ZtZuc2%TnJ%#y@NHB`{d48ArC8nhRmHLN4HAB($XR|8jx73%e%_&n*nQ(b94M?q&s`",
            ")Q55gHX2MF8!q<IZWqJ8vyafn#_KlMPd23wU1l3cm(PAG61G3UpMP{E(X+FypKW|vPhs>ad+hDeja?z(#a!y`1SJY-L43&%6v0x0>%`9pG*o(j`U7N7mWK",
        ),
    ),
    "xgboost saved booster": (
        "model.ubj",
        _unpacked(
            "c-q}m!EO^V5G|z1(n3qsR!E2=T&WU~G*DFt3H1gijuo<I?TO>cYp-l?N)+V_;2Zb~&K$V&C42!lyh+!)O&xkg>}l;8kKcRq#<O=D%dhiRtC8TdYMn>~qtJwn9gcn}D9OP<7PdPKCxYUKYTcrFQT;y}fsjNiBGd$=V1(xd5iI21>4qwbT<FwBB8hTigAhCPz<^>pBi4b#NPN>G#?I}R`y@w0ghK;PXcfsiSU~obmxR%$Ht_Z4",
            ")$blRzyvBsQmw6PD0awGDU_FyI0Hhh2)CEPCt~zv2_ywa$D#OP?`6M#JnZ+o!xzKutHGdm+#6KEEvKait!RvKQsgCK6GDj{YsU)}&~7SEC4}!)2v-XPl>2{S&<2^0Ap)a?uHJ5Sj{^9;5rQiW5{nY4(>2fzol+@iSW3uJ7OTCp@TE|km}b|Tw`>{YWF5BcGI*o<d>#}!xH3M;G()*Uc{>H`(Nk?2BA)k;24~NEAA@EKBao5t",
            "-h_#77H{;b7f`AqBUFNox&D3`yb`Mp_XCVF?7(nzF-rytv92XoHeGLmCrnsKB@%`sD5N9kM}hbW@Y5f`x|{hN;is@{2%m<G1Fewg!sUfq44X5EfxJ#HyaB|dX7?}^3e5CGYA&o3G_XmQH{0{4;qF=7&WS%OwYBq`*Q`0QdTHRaaEULqI<%I87be%1T%zFPYx36~N_^L?e^zS9EzuHp#YV_zzc1aj{<Yl(=Sio9LpuwHcB=6y",
            "IW+XxtWh*foz}mNwy_(<+%#_%+qnH<YiHNM?=Iuazh;GER<r`ErAGGr84KmxZys-bJ?Xywa{BAr@9#f8cTRsEp5695{ZGUB?|E|m2WPyyIs",
        ),
    ),
    "lightgbm text": (
        "model.txt",
        _unpacked(
            "c-oCu&61-$61@8<c!754A8>?E`wDxTm>^`3ZS7#h0Pdf8`ppu;#%|BI+m}WqsZ`3$s*<O{xy`#9MjyKUyV`WuOI5da9QQnaPnfTIH&lLdgPmv<-?aAN+RAs0``ok5#eP;tXQ%7nD&KtW<t7~d<Lb%3yZym;cKFIhf4T(U?D%F`*x8F4_x}p*_0m-=OCNms5X*<W?eN_(jQbyNVk?DalI6KFvM8jIJH9QrQMoP^D+<n)EPrOS",
            "P%x=kSrp7DV>HXL&=e(Sxza)@X>!SFq1<w2q%;NNqL8BGnmh`@IG3=KP0HD$EDHgH(X!0*oU5JOGGiFIDw!&Z(&Rrk5wp?%!3Cu%Gi6w&O|jYh8+PDDu(r;=V_M93+X?2eZ~e3Yc^jXs@Aigmrt{#&b7-4A-?I6S7mNXkQoA>)H;t=3kyuS%y@TV{9jB^3d+d1Qo57#Xw;@g1WA$#^tJ}Y^tt<pWFLIW1x*RVuwq=5A&9x|%",
            ")TIEnYToqW$kV>qa+7NWkryT}xF}_2fUO{tQ8Jf|=joU_T)Sy6WhU~C@1Ua2w)e9I*5~{_k^FPDE%e<w`v44ntXkhWI}kwU!FRvx$w83`T)qZZ{vF)x0bW&XOQ}sJw_1ywyEm@?C*B#~a-|KIS{5AA5=uN%kUf!*0r)i!Fvuq+I3VPP!zTflmj+Dmk}xiz?A(wzznhqN;3nUeS}Rj1ZUl#5!HwPuRgyx%FZSXP#IH(-Sr<|Z",
            "fs+h>ri*9h1z`~g_|i)p#Vhi1rgA7ESEUf&X^c{M$s~L(T#7Z9>YuoLVw2%?qt<NVvN@14{~xo&gUZ1y)2hrhibY<KQK7_`QUPwJxM13RC;X9e4#T(H1L@hDdgfi{Mk@)nz?f2861W8uWuXe3Cz%l<#_+U|>F-8aKBg)%iSoM8xKzQ)GLNZ>i@<%(3nNiS4G@wg&rt{@#DE*K{F{lJwL%~d0gC^o5y^yD1$X~?r51_o$?`2`",
            "3&bW2Hop)}Dk1-%8`m{iIA&CT$IZQQT>3CfwyWK^+bkVtZ#J9W4(LKS2KFC^5XQ-Or(JeBG}F(`k6RPlWpfvU4XX!VFNUfOr#6fuCSu74Iz#7%T{gPG+ZN`=z5CildF-;fzmmyLwi@lFZ_y(rv{ZNcf<t>c;qWxS%kTj-(J|?Zq<?F_<1Ul1#j~)ZA`d%~OIkQ5%q~-DOmepk3=D?Rxn}-q=-wCKd0e`lO~)`G);fS0Kf1MT",
            "2p=ok8GFJB&{ciFVrq0d=$zoeOQ3Q6bY8~3tKxm}pQN+Pbh3_!?Ci$T+wML|!l7*mjOsYpny$Rd$l8aodOg#*(_d!pR`+`jezD9*$d%>rRsFuY;VWG{iRaPZvlW}V(73-$&SwZrxlb@1-%^Q)*)T6KG`2(g1wDkmkEBBLiKwTU2&rpHBQZ=rj8iqsvI<?BqMwOqNokYoXIpD8hsIVde;kT5j5$@!*5m|7QAMq$P{sP1lrx0>",
            "L3Qyk7{PAT*e~CwG20T~pQo5xP{M#vBV4rZ+Igt!vMgOZ&zO*Ur`0(GVwlc&hd!LV=!+hxCx8Y=oGk#LTU57V53b1v+33ogrNMX!f%M8Bb_HPR&SAO-@(V=9C7}xwCXpu{r7z0V7?bqX1QBx%4W;+!>-D1Ep|nj;TEkB87`?^3Ya;4nb@Z*H_i~&W+!37)oyUINuqf#=?sR~{Y~#Z5I14hG(n)IuAMDHFt^M;A4|q9?B8-AH",
            "m!sZJ=NoS1FP7@0`Da-0)8Y_DPgjj4VMKLms_&&a)yOD}(IFFUH=(dJpw*^KplU{=d9p$cPGxQ$$5X4pb?#%SCv@Hv>a(RHHz!rB@cb@#%E^1qz$bXt`aYzxkfNPwUX`@CI+hT>T>M&3OL4Eei8MohOW7Z6*Mv)wI0b=b2A~hr3eb$kR7jHPfN<MnB1|qG^>PXSj~hZ|$GdSYq@JpfZzt+Sv2>CR+2`j<MoXuUu&y#^^axr#",
            "R|fiZSI0&f?>sl^wI$}-+Tc%Jh%&iZYU*qOWeF{O4dAS7BJWYxh!Kw|#N7sDU_>LuGk+7nM}LZ&;)Yv)PI&4hk@)NN2Jf{y*p>vA<bZI11zO2`sd?S<^K|YRu~;1k5CyFccwNl)0bOSNJ)|76ZGW~)?j5a1d`p`GBS?gAC3u@h*b%FDcq-wAK(g<{M`S5h%DMVNCBLA{YgfmH4>7;H7D8i>D**T<NjVZmr8)w$TGLbN#XjYs",
            "72M$3;^05_t^<c>MrEg2+t+sTl^ceDyqIeqxwqH4x?B@r<LyOqv3SyUE<xP}BD%%Xz;zWRHOxXq=}-RRs&I{#Inm<AxcE^6cbBBG{#x~|onn(9a$@};YkF0^wneu$2b4EWzp5YoHO9L<74J_#dJc9CP+AFh*InCo^Iu9vl@I",
        ),
    ),
    "lightgbm dump": (
        "model.json",
        _unpacked(
            "c-qBR+j8SJ4E>dipBoK8kOaBYKJ~pn(Am)_HtndDC66xY?qu@s1!OzE$?G(;Y5XLCAPxu|9MR9Sx>%>#m%CZtrZoHIZuXSgu54;GJy|u>!#bZ=Mc0W5ckk+)Z&I6=eQJw->#vJd@sO&#tQYB<SU@c6;#<B<ML)DDFBfVhu{IBXrFmaIjnEHeU9{itx^lH{%EcE{)I#zoRw-|WelzsqwJfSG$-+LC=B+9HIs3h-hIO5TZreTM",
            "(X%;vrrB3bsi~X3sZ&00>aK5#vhK%7Uys6<^|Ddp^C7&xtjjuoDyl*AzBd^e2L#O4QwU^fciz1RW&yor7cGQ<Xsy;)*S2sk#|ckFH$V<z2;i;v4)`Lv4-tW_GuD!4x*FYFMyCwH6ZrsW0-1>JGIwJDk;F?q=z4gXEKLkXHhM>qnbDqwrwqIY%{qb&A$mRwuklBkX(!b5ynj7#OQ~2Tp^EM?d#)D!Zn=AG%ldC&(T<$serfnH",
            "*A|aScbls0PhxH@I~ttWRzegpc(wG8ZR#GIYB5#{wm%F2LWt<nJ!v@?X<q6q<^A`~Nc3NSn~mmWF;u-|zSK-5ALaGB?7FgEz54zk1XXV#XKL%BI@A_~7~mO?7yn7+>QSSi&4N2#nKwh-@6%SueEwLDc|Xf*u{=5aXgC6*V5B*Lfl-@j_Aak*Aw$nj&d$MeK-xR(QHivVt$JU>#dBQ9z@T&JOtj>pkpZ$7z+T926xds00_1aK",
            "!!OFAGuGfaYv_lpf$Zn;#)d4C^FomT?2*l<(`dws6x}r@F<Aa-TtaCWdUO=DT^#*IPdSUuSsyHVgQ6etZEQO21-_*hlsRV@mA0awLa=l{3gBr!&^nJK38RRwvF5{iA;pO@Kw+{EK4Tk=nd*b#8-19Vtr3Z%e300y?q77lWyVHTWtn*KJq-OTD&CxFa}yUXwFEO8<)h&OIb(z${v6o9OpUZTA8GsljWo!Jcq>yRC3856(5H_y",
            "fiYJnnzl54(?oyJT&WaTmbn6FBRjdiaQMiQpkqINKrRcynXH7VdJx^Jhj~jqFk@l6Xuc%D6u|IwL9E;oeY7$aV9|i{pHvW^8Bg#&t(nyP5sF02MbNE1+z(z6<+`GGi{OM40b=BLs14mjrf4VRh9a^|E{WI(32{nq{<F|s9va+DXyA81Piea_ECw5dM+DxOFm-Jbo{1M@@Wgid+H~?qXuWCLzNqKv;_r~x95+S1C^{9}v})RN",
            "UR1JD4^{Q@FR^4us{",
        ),
    ),
    "catboost": (
        "model.cbm",
        _unpacked(
            "c-rk*TZklA8Lr)lF)XV|L`{%9G?hgp^vqWEy_=Ywo!wlP%x;#<CXp;l<y6(_?#k3Hr>bVAvkt^JA0jCDpb*HCXCH(-2pSxT3L+8-<iT4+1F{h$_+U`<Vf_AcPE}XWWRr;cAXrdcRp<QYKmYx5`pnvS`zN0<j87Wnb<DWUxXHN1IF2{NXyX3zod!k><D<BL_G$d!{=)5saqSa^aRQ$yzMsc8K8*)L<`&~I7uos5=b^J@WB!l(",
            "`*+>0aNLULRnzA=3qtNYsYu3nF-Kz-X1r;-Ns{G3JaLjV50W@DM_0{ABFd&Bh&LVjFh}MY%;hZ3&8EpxAlY$}*clgL=uCqwPsFUkI8H*}33=>9MVJR^7;s^ZT6#R?A}Vr5TRCo+c$?<PYMLo%;37zbld%XZ;>lt9@>xoBTnt$dgNOhNn5MYhTqGG2T;ff9$4laIFd?qCS&%#RWi3ExtQV4)11T6uopg(Z1+CxJyE|i%L=M}+",
            "%E?@CbxypbfMiCUrWtZ3Vj@@5u+rTn_L9(vNCWXWsS7%16MF6f2Gb(&<Y?kP&AmL>;*J`Wkc!UrWD+J>22xWdSX3_NAo)WBdj;5xoNB|%SJd{*XE`GnfG{x4SzZY4RBK5(_-0Uf7C=kf@p4g#1Mg5e8!K5jVGsq7h&||Zdi_qv>bLvWu-mnJb{Ar<meclE<ytq0nFyYh@}$k&MEG2klBHF8L^JnT9E=kYnV>djV#4ze!f+75",
            "`5?YO&P9^W2uCWdkHgd=jQ}=b>T#m-vemS&G%rJ;@@eDuisD-1Ta(x`Ap5r&`f$W7ZhwaG!qawXSiL(Q3q8{FH1Pqku^FV7fE0*e?anmGorvu~m(OzPpY%Zpy@a&06XY`~HGC2)(q{j!vj3LK{v!gxMCr9kQPSVTWHO<M6!I+|k{uxY%Q#N{PWiy&S#}@;1d|xP?w9Cflt2UzlX+msK7iO(7va$7Tgu1^Hv@ZQYYs%_xJ7_u",
            ";A;6J64TW*V-}bB=DdvZi|jrqIQM4=Ya4|W`jll31U`?+v|WaPl_5+C!Ddbn`><q6C+4}>55OtquP{uuDKQ|lBYBcgYU_PIW=LF)%mN7g%#$IWs8*;cst;O2x(4mGZS{sjScVs}EOTNONnuILGkN54-zU+&x0K&&p2jr^z+<kTJq?N<zHq_3Lb@aZCn71*nr1ZZG6$68%Iqgef}XTOEVZ11^mYIVWnLocnU)oK;wUz@c`%vg",
            "**r0p<|)--j$-6}O6bDlP7x!m%C#vA#C)m7n)99f2JBZE<_65;J&@eM%J^Ki=34L|QWB_o0_2!vm!;7o-bs4`O!5TH<jE$FVRWLld?RHZhd7%z!v8*KFEFI#H8um_2Vke9T1PMWK?NmpM=o;$ipdrQW6vvu;4x$gyM(p7&=*bGRFNQPJ1CA)4a{TTNyg4LNYr@JBn-TnH1LcI@@q9N-M#c2$x^jCga6C@4q%`R0jLS2>u61z",
            "EmLKNikF$r7-pAz)~s<kQ#@()kbM6K`L+LLe&t@f3+5n|9T#wKq4osWpI`j?OC^ImN-4X_%`}*Hf;n;P92Mv3>|AEnFsmJvjg^cO%gQ(<CX7E8Z^p@XT=NhV$5fC>4jUK`Sv)CF&Fa7&@`%#bvno;&lNqXT_&b>AxgL_r@>o^_DqKlIjp_}|hWwJ`833HBN0g0K#+{w5D3LC5Al?u$GL6+Ujq^-_#$%pnR8qsTaS?lE@_GN7",
            "H%I1hWNi-QhdUigOM*{iy$-5%4}xgQpDAEC#MnhHE&&PUBy#_NG8IDwy;Cl<Ep^$Qp=G1aMMXssme;66#)tF>N0h`#PF0x9LIRCJo~hDX*3k1hVqU&o;M-VX>Le#I%lZ!8g6gESopvpqOpzzHYl@jgs^ZsNL_zGx0w9QGN|4osV6l(Z02J|fl27FrZO6y1Oyh3hZE~X2wp!Hev{cD2CD4}LQcm2YQnXu{no!AtDgcrzmq^R{",
            "<?#(uX0?<y(=}*FhM$$))PgWv=4}GMx2bIKbUZs3!Ev^Dq$(PbMHS6eo>T2=EmNjEX6Q`0v;eX;)o{%_p4vR98wVnrPZrr>06kS%@zvehCQvaSj{`5@vV_~6OIhl$YCuKA!Y6`!D!cd%sPZiL1ZNp3>!2L!U93&cDodWKFr%IqYR~KCfGoPR&8qgi_?Srr9lUJb;HkoBTLiM<relJvRvMK$I^cRWmqUl_CYfrz7y9!W)2QI&",
            "d^SUrj~1HYDcJR^@{t6OCUF}gL9dd@YD7L)@*UE33^|qDsHpQ$l2sFFB2>u(efbUrc-@hj=I*X>Go7JGwhiNjzwhr`hB_;`8@Ju@2JNwLE%Wivv%4*8x!vcj_Q184{TB1a<1UluG%9pVioiFF-vP&8G>+>AowwB5c^P&b7wU7k5Q(6%Qf7!7t+r*gJDvWZYjr!_R;N#zB4CYTe!ik2H6c4ZwSck%oUP8V-)i-TgI=#oskk=X",
            "wma>9x7!_d27_U{)jlwNn4l|~qB;+kQI8t8fL9s4Ab&c^dix*y`>RVz4)zksf$Aa%o$tWU0_~-BGs!EIC<e%<=L0Kwwgu>?GZ?&@^H{D9WXe5PXp;P%XH>E)m8jz_720Vo@ya2ytdhyFG-akV5yhHXQq{xn;|(dABUJ`y6TECb%C;YX6Bi+SoQ1M{L?}dbg&)K$tdWoud0OPK^RS3wRWr)Kc#bNTMJ!EoUG^uymc=a1sArcL",
            "!G$^MQIx0t2eEFPm+~vWwfH0z+D#r%0Rk}--oav7L+JCsgA&%mD>O{$lTo?|L>+_<v&_;W>nf~`Xd+5|mF`}XM#YyNnp?_>=a!QMhos<C-=!Y3#wmEpcIk{JZjD;gnbblcrN2<h%Oj5R>`wQaXLZ|Ap2X2fWk8A7t~6G)t3<cLTb`HP5ZT<W9Ll&<hp3n>^@98eO^Zq#yYQQj<JKE$X&J`q{{H?{$Ct}8z8voD-m3vsV`$BE",
            "o4YV9$4b*U2dkP;QDz(meg#lQNW=I6_CKNbr*rF;)#@$V_HwIz$?A-(-l%OoNpQE9@c<mfK{l1$ImYO0n@+eXUQCZDJWt~JV30S+j7G;AxXvUILiDKN+Abn(&+qqJ_K*)+%tqMtxIgwhcffn&o@aAz4LWks8WM{)9X04E_2ibl(n297Cr%eAoW!WXHm4#<ldZ<R<=g6v(XqgC&RMhq?cFEgHwx6iVm4~PhStc28iI$Ee;W$v",
            "O2d=%Ia8KRN8<rUlpMJB5P{Th_t?;7eRp8Hy*^@Zx8t_EtzpmdCF)6#FK1hEjn#Dq{AZ@9!nxmgly8k1!`85E4Z6pUJ(5qksDZB0QAxuEVY;kuAYKVMbty?3neZBL%u(Yc-cFXzi3Ig2(qrkX2)UUo9Dvri$9PEp-*6kWd8cug(J)RJpEH_<Wps>z{7>RuW7RkdNW*}dj8*(Jao>si_))`n4$ly`kNXA8Q~tbkMEy7M)DiVg",
            "c60*I^&<*L{W@O0Jh!^4UhLIHh!gs|sh@Z0XIDR4CH#T;`xfA6pKW<v-+Scl=3hInzICeH;f^c$>-XRB=BW$UfAq13AAMu*majaY-}BYiPyOMYZ@>7;kAJ!MCx7(&Yd?SU)Mu}M_vF3be0lG0@2<b~@^4-{^`)hk-uc=Of4%qH@7({zchCMp;#<-<k7^%T((mPcvzFsh4Ti3d=(+k*Ev_R+4~wn32=FP~q^pMheg!_dr1!W<",
            "@AulR*Y@7P_|XIVzKyXX8m5H(>94-^eX<Bc+s5$&`_X-^vG=`iI6I$D-)-IZs_#kO{|U1oz$*",
        ),
    ),
    "catboost core ml": (
        "model.mlmodel",
        _unpacked(
            "c-rk)&5s;M75A>=jnhD~-Xu!o)2JgM5zUUfd%i~zj@M3t72C1AcA~^uI@R6PGo9_PR8{Zn#H<8&5Fl}YAQZHJ03XT$2_ZRxfW!re1QOp85y+P)LXZf!@m^JRPtV$kgMb4PbJ(4ERrTt9zu&8)OKU&2jC+i`LP|uzsB0ZxUOQAL*ar#DK|&h|mmV;ToY5fiMU<t-?|S%7V`*viwNKyiT#fA2zVEO6?1XXmX(GHV<D!vd0gcy=",
            "*e$DN9l!THYc;B+Gewe9w!dN<hTP?jizrxo$nN-qb{JUeG#vVN*Rj^yed@Fap0yr0#1F$R*<X2m#ke~wL|zCt%kf&i_U)BxW=axjj!e1>jH866!fcv5lzABkveh&N<-(<mWz3DUG3=ZZT7vJu?iYBL>NQ^r>Iz1pG)l)UT!cN0@*)<l5;}}xyi)$awahO`@QdycwZqkt0j=QF_3&DCWE7H^)22z{IGegt774gXp5fKn+`6uq",
            "<-q5vd5KIP&sb8#<Y^L{TTL_Mg1J#DC`(CP6G2<a&*CCUIUe04NgmU)0W2<ZX`1JVM<q9&lAKR6p*VsT=BQ_(0l}(nOhZxHul%jeC#6s_nvbhEI-BGf6D0MiiJD~690x3{$t@(qC1`Iqh**6~l!h6s#gwpg!G$%77NYc585%WfRC;OBJW^V|S1#f{vP0eKcj*W1aj+N>Xvs2^H=>lVne;*=t*<l4C$Uc%*ggRl5a~Z;0r#Gv",
            "A%Pfzn-VHm<hv+F7MLTu@|c&gfHJP+R(ySN8)oykauYD2U=*Xs)_!4h44!6{IrjEf-dQq^mgZW!v2;y~1Bb3@!+KSQAnjZ>jx!F+R?BHyR=d;b54u*j({(!iJ)K{gg*%D3$iOV4t6QbtZeCho*#VwTXV`a~{&3Lib@!SJ%Wb>U?svQ0VP`NHww?BY<(mcC(h}8mxVp6mdcSNMD>-2#;cK5aubBZA1dI}tfmnH5y0;ceXai+m",
            "K4DS1UAo{jtU-*U4@eG7c3p5!Sj6#MRn0NX;s7!RYymEd@;IU(l%weo1xe{#FV6gJS+#PI0mFm298(v>xmiA)a~EUqB?uA00iq>tHy1^Q1yv2R0HP@kqcLhVB@rZ9?U;k<uDD*vQcPY@BzJQt1_hqq)3>`J%Muszg^}^xaCJ@mtN_c5IywqaTrEQjTny@EF-8W#6t5dvkTL$>+iTXtGV@-bPzxbH6;bX~a+bjWJf&~-VOfPg",
            "=w`nFH50eG5aLB%PXZzc?rCC8s#3f<i`IePP{v&zVS&YLt;~U$3(AMe7H%9R5m>|?bUM9$r(^ZoeQVh5+C94qX0DENnIL%9!wM6<B<+cpsp3#t7Efu4R_;m~VVN>9CkY!<aXStN8Jv&O$5O$ve1<%78GVpNQKA_@OqiOEQeL&1_Ez&MI8^?(;qR8xTJzh`)eLj?-&E*>3A1?pY2*u;h9$vQ-(_`1KTojknw#5Eei@iz%S@?@",
            "Jt85y;LDe&%uoDL*58=!Mq(zd20u|1)o1?ivj39H{v!r~g{m=2N6CB#5HZGz6w@6<W9BB5e_6*d-?1O~l=A}}AR4ET>p{tms}>i=*}O3D+X(A)p&SNuM+I5oaZnFq4bg?`6%jOp3II43ewu)8tCoLWR{2GBpMY*3%%H4o7SiYw!d=8?RT0ALI20@ZpoB3p156b_Bx5@<&!&JdDON)TM15>%ZY=R&{d}OXhAX=OlzyUMDN3za",
            "V^tqGL;MWdZQJS%hY%TlOgNVy7>y+(&!mY*g8)r?Yb)Ps9qC#G1YqaRoC1lTyl}zXLSLeQW0n<p%`;kdg~YYEvinJqz)#vCmO73_dK!U+xSz3lrzM5RT&2d8M&pU#^Tt?)r*wxoN}=y#LuWp9ixk?bJe!k<&5vrXg6@j<P`~Oh@1Z<=S2F=b8J*kK+=!llmIP8g1L8<bx`0O2p6nT15!p6PA?R4`_-0N3sc&J@-<tpXu)RQ_",
            "EpLz+Y`hJ3Y^rtkQXfE245lqS=0;ePEiA^qUob{td;q*Zg=qJ{U$|%^B7vgq0yxU`W|{_W7P?aqQS-^OIPzyQz&T}@*NQIFz04e`Qgxa`{>%FgaKH`$yT)K$S9{uYOw}1GU1qvtm|e_Sv!>-t>7?C*_Wd8!*Z!CFm3QqegoAW;T0nX;bti25^DAH4FBPOoj@?yWrnl)Nm<xA~0^&Ty&vLWIS>32&tW+FTR>3Jb0sTt4oo3Ut",
            "mLUL+5s*m@8#rW=bX)+M<>l;>VB300RZ3Kn0}6+H2j!{IB<U=l@Y<%rlOoil-h|bdUY0t;28!qrU}M#BXJ;x&WQrW9Hz<s3WA#qszF5HEF>f@gsll<ZNd2<;yg%l}InkBa9GKrc>0n!e*-_$k9F5fs0@akhSU}*QVizg93{0>mVfshdsR$tG-SVJqsgK<mS~lQZKvY;^X-!J#_+UNckz{Em5QWJugyX5;3VKTnJ;xDq_;!I#",
            "g?yZmO-^!__ztE8HA(3>?OM8-LZ6t{95YK4;@4W>^eh2Dl**PM(FG%E0HXm&MANaDNE%*8Lr=DGukg1iN@~Lt3$i*2@=FV}<+LPFn_QZ9hpPqEED!<6XBo+~#4k^8nzF0qc$vnaF$O*_r>O;Fc*NfZ{{FU#!Bgq%Yyye1L-k7-<4GlR)#uc>T7PV!DS^q9$_T({Qv=t0;;F6g;mZW$^F@5zI=DeERZ)CxuXYKzn1*5GM^r+%",
            "y}6a8532!`B_w_(5|i^7lAGYlGt_64aBALchx!z2W3o!fQvoxadBN?X4hJOY=Gztaym$p4U1G?x`GEI+FLZMs9Z0=e%GDnt7v}St(tzOPI-fz6PZoyZ38))X@DU9UL*f)n0<#L2Xhi;RiCy${3U(^BQB~&?8Lt-bMNZxW{t8?y@OmOOO?(~sm~l+K!G%#8@rgu{Yxg;p(_6Rgb*FvV>Wr-3sBJyBzp`z7SXC+goPyKOO~~q2",
            "@K4bI7-^8XK$f&p{<F}Z##j>fSKe7R?ysH%!Ju6FI}Nk7UoSrqi3WZh84dWH&JxgQ)bMOCa7Zuc_Z@pk2M)1`ANn*1ecv0<UfA<(O07Xh9@+pu_>)lsUmi~E*ewU@mRvYhK%HTu2HBp#Jdy1*9x1;)IwOdp*99d>3#P%3%l!bs6KH`WeC^(luicEs7_JS)wAJvXd@g|W$tWC9%W4lid)V!EgLaP$J<|6Ew%6;oEtnL%cGns9",
            "tU$6JM`E4tq%~E~5#WD%0!@nsjZ1WA)EGL$wl(M)##3TKS#9eEP8JOh1k+ux0TICD(&a2~aOO9H2=qJw-%gZ<HvY2qwZq2ChmE@*T-jf`>)2F&Zd^B3SC<s!sfU_>>wN#slg6E^%Sbr{ONZ6c16$&a#~%3IN#mZ?J03jz>>>F4^+Vr0`TUY`Z1qT;aCou|q!mSa^vm&EC!aquxx-jJs_(dP<Mod`dFkiZjkTjo<-JEg_gV4q",
            "7v4B2Y0HZCr?<cL%J+WwE45Dx@m4VU!`FWbLL38HDaJQG`6CqLULYN*lTeWRfe4~pT#~{(`_*4u*TU#aK6>N3Cm#9At9Z$BDa_yBJ@@9Tzx~NcNz?m2b9n#lFaF>+YM&P7_uqN!Q}3SnB?_}#33J~cr`M%0%at&aq=Z?P!btLK|5$oQ3bVR&{OBS5`6r5R-u(",
        ),
    ),
    "catboost pmml": (
        "model.pmml",
        _unpacked(
            "c-rk)OLN;c5WeeIV0g$)A|8AymeW{inuDEWYNgZZ#RHKmiW8FHfS_#u`z|T#Maz~W+n3hz!631__^{vZN028UZt{#QKv$_MMiv`Ti$D>nI4zQq^<(n6A6Oqwdney7F3vY*&OlfM9gAvY&5bFCwtanlJ&5yUpmbt4#(n2%Wiz~~(jB{N(VB5enf>?0`DHYRT=vtVGO~!k!sWhzj6vhzV_9ZtBn>W03Yo*m8cTDgRAsCUoIg@S",
            "(qg8DJ%Ycn%Jb9=$&^iFF1^_IISV1+lF4WmK|G71X#n2Lix>b6oYv_~<I?jXF*2#_1sm`IqwU1U+RT+668UqkRjC%_U1r{|E`Ga}MGQB612P{(Du0)l_pR4uo##^D4#^5F(U5_xfGk4~NYtXdn#*cFoCQFs2&OD_T{jk<45!kc25jp2f^yfH3YUi-joZ*kYWmfp*xK;9#Q5X6EE0&xpRgE`kcWZ>Zm;*v%t3FNp4Dj<lPLoG",
            "QT!~_bwTP1bUQUsC8=~o;uLpl<H*LePaEt#%SI+9X%0wGUY>Hwy*^`oE+*6&Qg0~eKPUEPzIS4;`THb|{FFuwf0&QE8=q4^6iYg1AWf~|3hPdl=C;IJkt$4D)T*v55~KN~y*ta4G%b>cLa^tD;Li^sjt^04h?lwAiXjaoN@EXX+d+^Rtfyjc7+IED-5i1ut9qJ28^FHD(nVUJ09>dTGBT@+cIImvJj!HMrL()9wAQxECSG4Y",
            "Kyh8k1eWVd47ymZ|F8@Dbr=5YF5>Af+Z1j27^xFjl4^JIaS2Hdg;`2iUS}pPGiWn=0Vpl;$jX}w?BBFa=bb%CamHwX--`<JhN-3pbq)5T^k_&lRMmf<nr@oE)uyb?dhon{SO+^yURCE^*621>6QpoSR7>-crH0og=MQp6@)QR}@|VnNxHP&Efm_4~Gl?L^b5wDQRQPDbvDBCr&}n7T2!$bSTKKY=`rkF@is+{`=Id0<S7iCF",
            "3h<d9DIJehU6_&O?UcpZjCaf!`fbxZvfQ@5(i|)Ad#gTJ3}n`z?L0jJ%S7psg;j(mdV(hcJR~(0glGmq5OCMCb{6-rh;Z$8-f>rd_Yu7a0P0as1j}?a2)2Q^8z7z4ce1wfyXVh3Uhe*6J6rp81CLWL2tBX6U;p*@E7m~zbl{8CuY&|{JhJ)q|Fy(47k5I`ktFssNn&r3^d?F7BuRwFND@2LAz1lB_#X8i(In6HL*Ellx4&8N",
            "GCj(C$M>8=nuJIleCG*85c=KZaCVeH?Yiw1DDFEBcUa(b1<HT@z3=FgV7|+_@B3X6oR^X({xo^wZ}RjePxs`>Wyi>qI4DnSz+LJD537^#Lr#N`1>xT2er|_i=TYhgg8S}M1WJg2G0zE{u6iGLf(j4olfxLJg0a_-r-Pf{Q7Gzru8aE2**$rFjzrnpuYa3<I3Q-LFC?H3s#*mZL}uJLSdV{ac^T>2)9%N;QXl!HYERQ^rOe(^",
            "V{3v9PCZgn8|gW49^YR`biK|@W)(bIFHfwKNh_h%dW0oeVOC(Q+E3i(PU_lwpOJtDb93}w?q@5vEr?CDZv8di*-v}_0$7&PTm",
        ),
    ),
    "parquet": (
        "train.parquet",
        _unpacked(
            "c-oax-AV#c5T3Kj!NSO*vz&z`By2G-(?F51i&<NL$V$EG+C<EtG_5qBpv#`3$BM3^i!OSE=IpL1<xK-SGt7MF`)2l>8aC1*C{iL>6<okNfDAHNVtEZb3;0oh*bp*7pa^~3l%Z)yhM1q}5MNMTTO+p|Q-qvpff$h9rr4V5t>zSPtlXn=lix~Nh_i`g;{`lMJ_C{uTbJ$YrU+7DTa&B_BCO)YHdIYD6*o*HVS!2b4Dg6S5TWT@",
            "e`Wd`vl>?Df6EvNS^$Kmeo2Hveuo<taB3=z@Koc%)p%n1GqYYa>x0cN@`r<loU-WebkGXvUm6&u3}d5lc7EXPC_mYrvTO&*>gd@q;t1^y77;sGa9e2Gh$kv3AXePMETWfsnd?ulh%`ruQ*_*-OXA><snqWJc*mEnqg_}0CBzmU&6=LoD=w&v^P~D{$?=C6sq<wuw{P|w@(^US-yGcDx9@ga{r+xqFzAh<5ADIQ+q;SGXOpR9",
            "+DOn9t6N^7cTuCq{0&{?a&!",
        ),
    ),
    "arrow file": (
        "data.arrow",
        _unpacked(
            "c-qZUI}XAy41H<SkE#qAD%61kFqVz6Jpob|W|%nua3YSt5f~Y{4ZIi^st9&0InHzP?B}NaFswIA;6XbB@Ca7HAxDOiJDRb?AS$_9U4ew&>HbbWFJ^(?Xili~onR|DkDB}(g;ey~&m<wvBi>eeI(i{JL%P%Rp!dpHD|VQvVkec6TG7#Bw2Ih?`Y_X8XHD_348N_3Vx0FH7aFH^lL+GrHj}&YxtY{B98d50$G(nVA(zShYj#e#",
            "QY}{b7p-;E*hc;T<!yt$UjE4^iEAW=",
        ),
    ),
    "arrow stream": (
        "data.arrow",
        _unpacked(
            "c-nPO$qm9V5F9&p5=DOa5urR%08dItEAXZOpdw141iCS^s|73zMp}<&?b)N0QtkjU1QQZ^M2x%<E>MGN<QeP)JY%!_lYV}T;$JMMR>nzn&|Jn$e~&>cX6xs?@Y?u}+A}c*?J4Qa-r24^$g}B$olTsyGP<C19Pq|OopgHH>1?}p_#)yzmWJDWHr^Z8b$z4pL%Zs4`|he5m+S4bzwisq2p4q",
        ),
    ),
    "matlab": (
        "a.mat",
        _unpacked(
            "c-r%I4DoSvQZUssQ1EpO(M`+DNmU5QNi0drFUqx2D9A6)tk6+#E=o--Nlj76&$CkS&CgTt%P&(fGFC7!u`)KbGBHyyGB7e@AOkRZ`tkv(3Ls_!Vh$(`0<2IzGZZrdVIq*`1Y!@k0Uzw~TR>PIWWNQH{VZtqGeX%Q`-_3J0F<ARnv;_cqydX!9mN",
        ),
    ),
    "matlab packed": (
        "a.mat",
        _unpacked(
            "c-r%I4DoSvQZUssQ1EpO(M`+DNmU5QNi0drFUqx2D9A6)tk6+#E=o--Nlj76&$CkS&CgTt%P&(fGFC7!u`)KbGBHyyGB7e@AOkRZ`tk!Q9U!il^Ef#nVFg2ynZmP%O9}_Lo*FwFDhsGFW%?<6OK521|Hf0nm{`fcbc*FY0M30T-2",
        ),
    ),
    "sentencepiece unigram": (
        "spiece.model",
        _unpacked(
            "c-mFbJ!lhg7{~GJrN#6yb_o5ID2Oj0IB9b42f;~j5*)hvk~V32ZS!L8&bCf=5y8nNo!lLC5NZ@Gn7Sw$(ao)b;>+qL2;%krm*?(()8~87!|~^TG(%I>u)TT#O7xUeDp0QKCzYckG+8~LCQ<Hde+#Pe`4#19qJvA%j}8yC1}JA^^;iu&o1c%hj-4Aq3wV*JEi_GP*n-m#Ty9{nCgvfGYj<MR@pM6`hC!l5))LEOt*};EUDi#O",
            "&k9(#SR1TO)@`8~IuzYQz0>sZOWlemWnA`O4(TvWMiULe@wem9@o<;J$VLT!2k(c`l}{Z+8GlM6E)DzrQT$~cKevSpp=6_i(L3>8L-)H-1*hje#IoU3g&da4GV$P|kR>DzWMlf&r*Syha6xI9`2CH;5+M$y*_f^U<8q{Or84m)Q&zSrHr{w?Ia0Y&nYg=>mX$57jQ#sux{XKuv>d72Y#Gv~A#EDcrf%Zuc3M`p3~6RaGrf%P",
            "bvlzu)9_;_zc=30aAr5E=tniN^tceKg^!7r;XEnq6;BW?c6!~=KNoBSMe^#`!?xG#)mo*AlUMGk%CQ3Fy?Ub^c)?~-`48(xNF@",
        ),
    ),
    "sentencepiece bpe": (
        "tokenizer.model",
        _unpacked(
            "c-lqMKS&#47zXe(i8g(WB0(XjgM&i{ssF1&5C;bb2L}fSp(eS+oSwNexzi{PQA9*UiikKmcI?>A<R-_Cj?$@PM@Qf1IX{}|_k`p7-anu8NJlQH?kx1j^p}lGS`xYXdrC;RBy(f`<0pxiY6wlRQc^Y_!C)8vw!r+6a*-_H+a_7uQ9h8Ct89^F@P*u}<AgToSjygrj&hiEaoBjoeOwXoK)FhKIAN3A3zS}4x+MAM?qnNPn1BN>",
            "OsH!3Zi27j-UJ-`&=!$I{^(HsgD$Z9pLE%6sDIHm+iTH|gQlKn_W(EiZtGM#^ia;@*(A>4#Uu{%uSx9ipGj=zm8H2gPA3*31iS1x8S0)o^}DE~l!;YtC2gY5D|$oek&nEdBkwcWi5ktC?C!JKp%9H|#v(#V$p@4@LgBp66s9^#aZ416o~8<_ISRGss0vm{p~xi)!&;_L*$Tz|QhC)HRaC80Wz`0?h2>MW%A&CN3WfDJl!uo=",
            "?WueUn{QAU`!R({HYrTyl)}qCqb5}6)Fj>$HKn?wrd3zexayjk#Z#l^R5#ST>Xw>O-BDlh3d78xNYSl%LH&#0@H3sZ^{wEQvhm^7i+F4xEh*b7Rejq(%*5UR+sx4u",
        ),
    ),
    "sentencepiece vocabulary": (
        "sp.vocab",
        _unpacked(
            "c-keA*>S@#3`D=Vy>LPTASKOs(o1|hRxDr2^_M16U@FOi{&~Pi1a<)|=F{;xBrI-?Pc3Y&AtvlMA!f{PAqrl;LsTsJ-LN`_Sg@W#tk{wrcDE3FjO!2wj3cWOCO*v>(>sG;`e0C;`7RqSGeg1O@6Rif>WLS1o}8HUp4^!Xp0HFB4SX?XEZv(3g+Cb;2X`YzSvrwIC3cY3)7?sI>RzRF^_ir#b!VD9b300_S06xy6T44U|JP*H",
            "nls;oHrsb^qxI3+hu0=EHj~;v+PhJ0Qd}ArLT0ee1f13szDxtftzb!3P~ST2$sQE50UV|zP@!aS5rvl^6)V!PB@1?B#ewX=g_a(EpaEwdDB(h8aGO=Yk*k6eRRf*Y0-m*2WU_;hJ(L_^JZnNCGdfbxlZt^f6tbX_75}qHj2r",
        ),
    ),
    "skops pipeline": (
        "schema.json",
        _unpacked(
            "c-rk;QE#I-5Pt8ksCcd-gMoy7JKa5<R(q%0d%ISa15Va07-T!`MXUVxGf6ffU<js3Pi*|ycx=!2b?g~?27kZ1zjqLdQ!E5R&Zm3lPg;<aGU7b!nzB4urDWG8UQ&WNn-n#fG{*_yJDES`&m@*#@?_r{=S&hNRnvF%XMMJW#&Rpym}|bGsiaICTdTADMk{k@W>G&0NeWT<p+0p=#gD1aPp?tov+7?_p{B+^hac}N8Z@<#t0Juq",
            "(N7hPI)9e~)%5Amsi{{}Hz9d#u>RU<H2huUOru~;N$1fKkB&};3iPaoP%@IQh;}-fY^QQz6ag0mf#-U`G^|N(9t?T-DltniPrk-DB|RuPEE7%&p2tK8%9az9V2RJOR9io-JT;Z>SX)E?gXh+rk#<VpjmmE*Bbc>{^s_;89A@^|w93-t+6B*<W}AWfUI3<nr<LD4bZ{tSVksO<VVoChOW$Dn7+Mf4SDXk$85$jt{^eN=AOt};",
            "Gh|WVO!;hq1R(}AE);MX`hBTnt4tYtPaeM{zi^J%-BikTL3)h5py^g@&ygR_LLd0E3F}tpl-VD>jF>GQOn*L0*RC*+i%;N3Q(px)o)MqNUPgSrVtx~JLJt6QI?G;0bc!;Jya7U?3t{A$61wYUL@3$^+~}2XLG$qimyeD+i6*Z0*z+FG1fnQ{o)@+8dDoL;=Y_0MX$GP_wC_4w59js#nY-s%xBaYVZW`vs(LAjyGCR#f8>_(}",
            "3R`?(>*}zOEo2MXLbi}CWDEKKfUN!fsWskdoG`*L2tn^qO*g=F<~Ik}^teIygD7yJTMr*kAw4zn5;YBGfgkvw%FoH%Ha%jN9?3439ti<}-h0y{pYx>(%W3=<S@JU1p>*h-A}O<on3qi?ohUkXBi(qGq#z8Zay`OhY(ff7Vk}8=jkB!hg>D2xqq~7$N5`T&0hgw33Zu|d+ql_1Rq7&+CCx|2Ah;5PGt-OcWQEhwvA4jfxK^TR",
            "<{R-R^K^{H2Y`DO`*Q=sMBRc)M3rVdCWW*K&%p`L1Ba-*yQge9KBsb>oTooEOuTQIc_VcBZG85~R%v<#dxYib(af)K%#u7qLaIp1(m0q#k*BYOk1)(m=ZmGde1sj$T<CkV$SlIn@V|)45%TB)aFtyVhQ3*#t&DJ<i}9^wa3!Z=NZ%Xg+r5xW8*2}bwHbQO=fZlE!QRAH#a*H*Zp)0K@FvQ)l&cs}z6A}hz}VJ3-$n(O3;Y2U",
            "T&kC0{V-YFhJ}XS06xoJ1JBntQ5849NTIor+N!wrOoFY7vjqnhvW09RTgVo&g=`^P$QH7NY$0377P5tGAzR26^3MhN-JfAZ`dn6@&oIh|3;@)YR`mZ2qxq1L@n;y}>COCcfTxpZuIkvmDGUxtr-Q<d<d}&?&ND<=v63BcZJnBn@l#uxYvYa_aO<t`xjgR?Sw^y)uYV#yx)PI*L{u+yFoASZ%y5L%ncw(GY`Q!}Uwn;R#BNFM",
            "QED>`9XW+_$j;>rw3&jcOXzk2eYX8R8~ypMy|QUq^{jdytKMDBW$J<j;7|7sb8~pV^0d}+8bUYp-BM_?e@0W|^rs=%HWoaWdA$7`!rMuUm%I>_z0Uy?H=F?HZu1`wE^z7",
        ),
    ),
    "skops columns": (
        "schema.json",
        _unpacked(
            "c-rk<&u^nR6u$SbsB-Q^#+YAwTkUEOtJUmb=C)H=6r7fpK!lx+s!{*<HA&h6w!tRMB(&~fMh%9%@8kLT`Fpne<KpsifpL<@lw!R2?Q-!)nQzy{*D5aPs;t(eT3qehtjlzplYJxlkdwG7mPxtZl$0!Svbzg2@wU8-Q&R13`}gLaB<ypUlKs`BEEp*mzx0Fu+O;Ij61Hn6eErQf%UM>?x2w%>`7>*LhvZxMM-4k^<MXZsc}8C>",
            "7`8%U$v^!5h9w<q{(JrKvSEQ}1>0`&<|Fh>k(l$feo)7r9-BnFMB6B<IuFygPGaHTv@9eBc8pwnTg2ZMvNjpT_xusO4Xd_9`gK{l`zptcBH#cIg+6dS*lGEEWyr%978hw;rC*XbCmNKzbf8T|HdUDrO0(j2iPM<H!z^{Wk&-9T=$<Y%_6-hoKO^gSgYOx;!)p>3$|ia~XpY0oA4RXMT~6I_$TgJ?3Ox`A4ytg|CWn-zmcr2#",
            "CgtYI(l?qud<by(k&m!hIls>QZQ(4Vr6V0?j^PtTQRG4xMG8JIG&x>8kSENZHiW7}X<sfgp4Z_VM>DrjkFDmeVeTAacEri-bq{IZaJ|S!q2i9`D+}2|evgo)pI<8jMk@lMD2QC(`9M3?i4O>Z5Jmol#_i(GVT~<B$EN&>fI52a(-TMsf~ZdTSNqse(SKk}ZH}lw)kbF=6&=)bU4W3b56y!k=O=I!$TAJF17GWOodAWL^lnsW",
            "KkQo2Ai58MLC}74tv6<+5Hl&{W-=)xf)Il6*tmEq9yZ(pc2||#+q;PvL0%9-FYu3MB+n8uB`06%2aeQ#D2uE5BD|7cEjRokQd}hU#bTT1V@6)irU(51f+NER@?8X*!}r?*u3J)U``ZEVQ6qT08oa2;I?f7CZjTb&c4}iGSmMNO=S{0})ACxSw{~%bAwm)Fy}p2pZsLj(%=-kPcV(WQ3?5jzV~}xw383df@r@PuzPzC)!&7&F",
            "5rB4Cb)8m=fEx7({GDXCckDf(dnDCONy*6&t>T=Lk&tTb>vgUmK*B2$vu#Ci5w8iw<(8ccWJmim#rUf4HGA0s9mQFJPX-K)LsjR#p2QgsrONX!`$^`Pqf%YPymEG#E|@0EmCqYzlI1!Rav;nLjq|YXTu^%&CrgM&`L-$%?n#2x39vHxRVKdA{T#^>UcFp31flDMKoY&0nF1?$VBTyQ|2O44^o6ueq1QO1Ns77(ju){&x{Yf#",
            "uFWW}!61O@xVE^l{%!Pb;dJlT18AQ9?M}#n>mNOCI|!)#TP}y3)Xz0A1*lz6dLyNQPFXY`K&FFB2bHq#3Q5YK&+2-tZY@x+0@&$p*6g2a_JyKb%L<|)YAV&w>f~~#poSn41w*W(gmz0X#;K&N^fF?4EWV~u(MJ)$+v@BqFG69VH;9V`1?YJm964wDg?I%u+7zmwN*h6)%gAy)(8*93DOLG$%j%iid(uRki|VmmRc}|-+g0^P",
            "EF-b2>g}rfcSoUJReuzHJr%h*5DBMeQLYLNu}I@JAG0Z@gc#7c;=q}Ybg3-1YwqltJbq4pud4W|pUPUf(0KAH%XiJ**1Lud&qbF-zd6Dx+1*`6%+>>pKA-i_&N0u9&j3LbKw!w{;VvUSALHsn(CN7mG^ew^%ZN@|r;#6nP%lIy2=zi_cX>@QGTB{T!jIkmV<B6}7P5tGAzR26^7(I44UrEV|CmjxA@seGn^Xf7BG(V?Ce;a&",
            "SG!4dQjR{xCRG$UZ(EOy%Gb8CC{DA_ZIkL>+ah6EDV%dRro6a1JWDwJ?&FplYf5G(26Z;RO;zV<ZHm*=)v}@%)CjgT9!2A0oM&mw$m}TWF3y><<Y*}I#z{gp4DVMh+0yO!%J&^f9`K=KTZbI)ko`Mu=TUSh3-XDTpZI^%R~|foyeNRKnR`Bb$8mK_?O=1vn2jxq$FlfZQ9P`V<wmZuTWvy>sqh4h_NK&IY4N_O`!Y%BZDyvv",
            "jnUuCJw}XUDOttaob?1T0|!#613q#CUwO~7sotqkQZ*{8PNIGelvg!Nto?GXxl@gEt1;5<7<sqv?JH$oh1df_z<-QgNw!<S4_x0a>N{%S7_+F)E=5s!rCo|*t9%x+g=`^P$QH7NY$0377V<eRIPyXW<qILSPsI-cNuIB{;3#q?I2GTXbv*4^$C2AszqC&u2qM|}aR*uTa9|vs$BA)gaa<r!9Tx~EJ1($(aZXz?H#>UlgPg0#",
            "-P?`4sHG5%JHzU{Jqt`o7y_{U2UF|;S!QX0Js@k|2V}tzIF0q30|#UUjquVqAgfPg{<VKFKopC$&(-e=!h04ED5Vjgr}qyb8|wAa9<Po(UEdoKc%(iz>~9T+vF2Ixta;WvYo0aFnrF>BSMx49nXz<>V&ELstGpzDvIEh9yKA&-BFYvpaw7!7-Nj8+vN9?27a^d|nad4rWXub&bo?b)Ts;2|0S*sL",
        ),
    ),
    "skops forest": (
        "schema.json",
        _unpacked(
            "c-rk<U5}$U7Jctu5#@Ol8Dor@x7Cj3VYHf+R{b{9LR3O^)187Wke)4#>c1}})ky$<@ljQzavrO&!##)VYx`aw`1`|Ru?)lYHY$oRT>iXR{wGQ|*~70{9v9_5>whQrNt`c#IyQXBHv4USY*~EU#!;TG;<Sh#?zZtNyg&5%(RQ0fn>atV{rBD1cwPRUZQ|qAb(WTKT2`0-uKsM>uu0a(U+LWQZl7$+BrVQYFYoe8a&ZsIU8;Xo",
            "_9YKdndKM%Y~TKuc%2kUmVV6RxJALKxr~UiYQH-EP+T;dYq)rB)3sI0i`0-7JJP$iIMUv|zK|znoL6LYF13v-%DnNLw)RPE{H@5+j*TrlmwzrlCu#EMvfC&r!mq`_;xgaIl6xha!+jh#2ng|f&N%ZpX|#K4c3T#^ZBkZD%#en=%BM%u;1D;U#Pzt)((n-dFWkht^2_XaNcY?AXbwE)x?W)7AW6d_df08_B0RXo?6{!giSS&P",
            "c!XIKQANP}+40~^!vpiFk%zzH<nxy@yw9U`Sw+iv@<CQ)e6$q4!vn^QVd6fH%6+vSxaCMu(NH@=m{vC3G7<S<Q5hCxRK_<xb0iPDeYK`~tftX*9!EudyHVnZ@fbO8*ellST^Mb5U!ohHFS0Z%vou+U>*AJOA$;CShTr47nCGU;Sp_R+{H`kq0+-StXsxV1D7aaEiyy=CaVMEYn}lqWqFlCFwc(@1#=olHk+5;W#UCw%?FVJ^",
            "sO%qB$H0#j8Pdlk_r1#Xm}s?p`UwyK0T2KI5C8!X009u*BZS7^pE}Fl#=4vZK6f17=gO6Mw*&LtK%6&tPmRh~b2k`J;xIve)LKqWmuYya%oUo_T$5chtL8n<<?hD4{J&~HqsW!Jyo2e4DBMMP^q|94?swaG46={)52&GCZdP>Lr>^%7+C3@ulFgmuskGSHO=|a&ZJ+X8$8(6^*jYC`b}o2NwX;!p4~06%Wt7bxZ@W%5?m2se",
            "Q9*o4t_gRY{htE%Ib_ZnwyX*^34B4WVRZi}d5whZ3+53{t|FkF%UfeXbLO*vifeH5P7P-Y9}oEKef+YFHx6<TP(~?dvxj^t&P?Ing3o`_zO2NI!z==~8qrSU5XpHj@=3ExAjI*-Ip&{N)OT4{R%}GOH`^lAu!rpu81;zn(GI38y9<kTmd9^~=|0*PV?dquewW+1ui4$(ZRA=NyFP##Rk|}E<q3xChV?zp@3P|U5Ru_KZpOOt",
            ";jbt^JfpmPPlHK$PU5<KuU<Yr?~~pUD*1uw*Tf__7;THIa~Qh$w7MsMuiOK*CwX5J8y%5(Buopea}xD6aXBO6yHBOKj3;ehb^cnBLBottUO|*0RGplC-3U_rH!lZ8kZQS4J<pR(&YIJ(*B?go$2zauC6$Nsu6(AJp1Zv2N0pvpM_Bpfo8e+3W;4ly3ez`VC-UJN73y+Xxij0ByM0-N?`3L!mObk5q?;(uqenHSbpNn>R0H~b",
            "^N+fJ8&iEORNDJK*&Z&O3)K!2E?uSVn{*1=hjx;OW&!f5)``#K>iz94&mkjx`<&s_!Q*_c03v3Hm?2_@h#4a01w_oYYc@3x5HYvI1VqdbF)vIdz}uTSAYwk>6C&mXM9d3_n9rRcVpd2eAYz6<2M_=O5C8!X009sH0T5nD#O!G#lF|;`CnH77X9=^eGS^z&_pUZdR`mmvzQ+3CfEuA~olsk?Gu8`7Y!9V%LxVMj`l0RM=`(!n",
            "x3$*wM2p?6eO*x+Q}p%4xzVJkHx8poQFm0)q^m#9izjK)XedY0<dKpii~8iexT4b$C97N75T&Ts&5I{zTAtc<O&w2`_04(lCCgtAjpnU`qvkNBsejHbqIZt0k8`fpF?KUm+8Qasx>XHzW|4{r-*cHO{OP=k3+@J<eaNz@v?5;FRAMm%&6Qesl2s)au5|3Ik(<nsC^qp5-I^t-)&pzvX5@}7`RS@ilpM7cAxeVe%94xbDvilS",
            "6N%cyt2S{hwTU(ddF)~7RJ}+`(vq{;Qzn>Tl#w2kJ@@Fnp9zspkdsuWcJ0Wi6UR2}G?T`qrdJ+s_UmIW+3l+~QU1A5UNyZ_bNDlql{6&p+f+WxKNL+CN+kBaI22D`-?X1ld-!Vq30C8~{W;Z5CB5V0z&P0>UTUTq>N%RJMmOagdcG{pb97zjWnEXc@{yM^l|@bMWAg-Uz6n+T^G}A^MiFk!b+{o9(6%OLX{AL$rN2}5cgg+^",
            "Y3q*G&e+!#m4ka(r!m8Iw%5`=Z${mhWAyy4?|zIHJ;*dqO+6>3LDQ1;q$Hb?d`5&}N|H`Ub-&*Hevh{MTO*hUbP&P3`I=qx+@zpgbDmwry5wa0WJ_|zY4>Yhk!uc4>2r9pBUIP7ssnt$pC0}M%WqBsUlBu}l#5>38eTB#)q0DZJXVt<xfvCWZ?x!AKo<I~xz+wvdai-hBDt<h<~$w#40EE@Y&iIwt!4%^%zZW+K=qIxwf{2=",
            "^F9MyI&c6D&;Sk401eOp4bT7$&;Sk401eOp4bb$t!B0lX@*%s%J*RW1|H<_Fpo8j|wu>=OCT+6_TycIqb*BqNzYzV7OMgQ23(+q`zYzUG^b651M88_9Ao{f+>bgX~Jm8#A#-|#8wMZqPuH?)hG`|aIeqUt-Li1}Lc+mVp^J`w9L-RY)()_(@eqAO+Kh1C5<EAyg#9^$T=C|$v&F@s%1ZaMt`Gw|pNPHX^Cws(8%~V4<_4qK&",
            "Z`~7`--%uK6*RxHX;1a@(EKjutx#nzs8HqN7B#<)|8kTDf<g3ao|8P^=R-89bw7xHEeICQFoNrT5dB`mx(2dOzz6&pihe1jWUT0yQ{hWrAM!GyUq%8B(Jw^55d8ugpaB}70UDqI8lV9hpaB}70UDqI8brT_te`ZN$9P97Vk7$Xgx7w>twHqb`J(FQGX~KwM86RILi7vKFGRmk7C`i?jOGyiLi7vKuXUtynd`8CFmFoLuiy?9",
            "Q2j#n3)L@Fzt`<bQ2pAm1l6xa<bH>$-#Qc6PxULw9p04c*AIwBy(U{u9eP0ZJ5@RXs$Zynq52&X9|y+C9`RB$)llJbF--Ma_k`+qV%L3n)vxa;zBdZh?*vW>)$i4-eqZoYzrw?(el6xC-!p!FUjC_Hk1(iyE%uj!`*Z-ohkj7~Uc<Tux=+9d{Q0SVS>OmsrcM_tB}WBa?t1j~RKG4IQ2j#n3)L^60UDqI8lV9hpaB}70UDqI",
            "8lV9hph5L($O=lo*z0(7i0YTS4x_A>>X%Rvc%t!jkh9qr=1RXv95^R4PxsL${B)1d{MgJXJyRl2nZ7e6?T(~8qm-uQG|4y<GE?GBnr^!sBl?kHGahV4f!X&jybb2TJeUXbU>?kac`y&=!917;^I#s#gLyCy=E1zTFz-VvwJCq=A|a%a@av>aiO1dGpe#5v>AvyD3z+aYIb7W3S(&Y~ZFQL*TNmH5U2%~iU6Pf<S7iC&>HkKE",
            "O2z",
        ),
    ),
    "skops search": (
        "schema.json",
        _unpacked(
            "c-rk<-;bj>5`Le*qLs(hC^80&xwq4-?xfw>+0)HwUv@?o4Nf=H1R`)|wzca2{S0(>2-wCXnF;Bxm;Mn<sPA)OSCy;mzu#P4Ef|ZlsHzxS{Nrlz?=nq3@~Dh&-~F+8+g@H5$u{Hd_3AE@SM#O(jAyLk8IMI;<V*Qyebdt|SrH|?Y;XDf`ipGzLEg|_jf-6HT*ym*%YXX<Bxx*~c7sP>Z_`Yqd9}OReag>i=NXEp$d9VHDAW9=",
            "^HKldl_($YAAi0=hF_{8@5s=TW07yOta~Y~*cW++yd=sk-}}}yX}-~M!w@;h_gvQx34Ltw@YHm{E0L}vQIrNu?~9vMHjDquZ%STOva|FMpL#b-bNQP!oxGF~+i%bV?{)D2`c5`OciWOa*7e4x%L^NxN13=ETrewxy>xbpF;tIFi-d1V9!G*FpBBTWI(1Ph4GKeyi4(eHuieA`ZHsraW5HRXW1$CbNU-Z*WQ3kMtc>K?H9H2-",
            "i5Q^BqecdjZIsOp{VK{TekA^S#Kb-dsAt44ifoRZkC1bc{&##I8}YAF!BY9;GUgjGJ0@zJC(?rv9-cX1RUBn~3t<+6;_*cIu8X|DOhk+D8&7X;=cf-n>*-K^*t4Y6G?Y=E6l+!qITOEP8mc1u%F7v=N!j)4raIn2@~Pu`n1*HxX&wE=QZYjw9E46XD!9Zm8%k0Mu8V4ZZvr~epg02mTU0h<K`CCdt(3Db#dY<HM??1L8#DPj",
            "G*0yV#zkitE}c_&j-iXO^dI;6c%$KFamVkOxZm)hcI*?9rIlFpS+(J#$Hsg4Jqk8DT>RNX*zYKtuCni}fq?&$WGK5!t$R}SdXCya`v3w!00;m9AOHk_01yBIK$r`Jz5hQCEcZRv!V81YMLt1VXJUAR9}u_WoIYsRNs%wxQ|vyk`|Q?972fM*FZ`B#m5Q_B>4oN};Mohu@9@N54PZWsdZBKW^5oZl6<IRAd_7D~*kq}AA<Nf!",
            "i)MbY822>sIDcfxy1L!2RvCZI!MNADKmj2ruuZ_cGFwX&BZt_USAK{c$9FrSUXyu6Jw(F58P49S6`~($kD$Yhk^R-59h^<cS&~+pNW`~i!}Mu^e`?Lvy@<XoJlR`_5Q3>9X|ODdlGVwO=j*W#(T9Wj%=3LpF!mG%vDlV5la^wdpBY=<5SVHn(;>P|R7PudQ>KXlRnHck3`=2$>TKY5Fwc%yL}U3oqb8AU4$t{#IZF=k={WF_",
            "cjPpQiBJ8#X;L`@>g>u9Z9l*XRBF0b&wrT3ueD(8?3Zr0d>)JQ$X^s$8X_b>p~4Vh@hy+<c*5eZtSHkP2r58O0fGt;RDhrYc;o=#@SsA_t0nmnL4~I&iJi@na}N(I?B<&tp!HUYv*w~qWA>7q(`#PUbtDP@%LFUU1@ZL2^6h$auSfME`Da;1_kCdX@T|Ohl{S<4;z@<6M}4Ve%e?=Po~l2#Q)6tx3MPyzDe{?7x`<L6lyy5b",
            "$|lxeeCuWuXc&&I2Ti>i8^q+k8jTMdw-r3jvwNI0bOT~DOUcF_p#*7OnddTW26fm_hy60@u<?l;Z{$H0HdJ97@Iw_gRAFC16?W%|P=$R3RoKswX{f@6Dr~62hAQkUsKTxZSn)_~r2{Q(CN?`Fyc0Q1BP=usc{PqdPog@YIL1Lgus9(&ITE7O1S$g$%b%ndsMN<^n${zVQBMyS&4?>~MSDi-)@CIs`0A4RaA-iNH6KlDOaJ1M",
            "m85nj?UiKI`Gj39VD%rC&H(~I00;m9AOHk_01yBIKmZ5;0U*5AglFpQug8pTQbUR3*d;t8FF+pkG<&+RIz{+=>A`5(Qs}t^xxV8Q>>pBm+$PeZV3<hT<j@-P<k)}YpW?PGwl}vQo7NV!Sxr`TwQN&#%NLR$$JEEWOinI5F2&HE#}PahoE|w+DEYOJ%9xC3Kf+CueM&@ha+0D|h;&NAqGl@4CNIvDHPzuVM^L3cXvRd9A>DDF",
            "jG^zq*dQg+#F!>Ma-M9dQvnX=OOqC0;!B-QIa}pYrCA=UUxQUI6JKNLm-A#!nU;CHo=xD*CS7x;lfY?-Q*X+lCvGIYbDo?jGklKIH$}FOiMEk+P@qjsn>KxPu4b(+t@MaVL7if1V$G0lI@2)?p_7klgOpSgWBT;enVKHoVG@`?moc3cY+DU$+Voc#{ndn7q<77A9?+$I9TnM7rGTj-#2Q8oNnw_$VbfW(OA{MS7Sl!Ur*;2S",
            "1(*`cpBB+KXg$CLm;e)C0!)AjFaajO1egF5V4er2;?vI>KW|XK72@6g{bt8haWf5uYxobN)%d+5w1yy{O6pMc`HsnI*e6qx)k2IAvflU1-EETAJ+O<FyxL}BE;|LTd6cuK1iBGzRM&S}RCij}b{Z=?Rdt>9@`R$UQ(4v7Tguq)?n)#VOanrWH4Vsg&`qNb?S`Ef$^=zbgR7aK6d4ubl8I34XsRWmv#aTli1rYbu^mN!i>f=`",
            "N^il!avhn8=zN`d-Wue0CXt9Nawv7R>Xy~&lj_w+E7ny#7+_ylv##vLw*9E#vX;cY2zp%PPNJu2Z!{Sm#*aVoh-Vl)+bw`E)})(JTJbx`ih`B4*Y3wk2PHt>p?)l(zULiVk_1D-0Yd^l{gB`z4~7I766zC0up(W`dPvx9#eQhi1e3tW2Cu0;djv7@eD1^LIZh4=u&v|dpuM?T!G&|tTp;NqTYJ+OQ8O3#vh_l~(AIiE4Cnqd",
            "F_uea0#k(SgKo$iW4Y+pgV@Jd>b6=U$|%3PWG0-@^*l=^nznGD%lAIe<t>N}VuRQqHi!*kgV--i><Oo}5$w60S|LN$0+C*e@9YjB?VJy8s)zZJ`|POdTda52>DRHeEIy)C8k`1Wa}3#-k*PE=^@eU=_YSagl{z=BZykjJ@jyHf55xoUKs*o+!~^j_JP;4WJDqrMdOoc(E5`L6S5lr_H-*zH|7fZ>nkI^B4L5K?>NOWPWg&{V",
            "+5Qc;t*g6YQ+0gZ1zI{}i571j{tt8E+>H",
        ),
    ),
}
HOSTILE: dict[str, tuple[str, bytes, str]] = {
    "pickled arrow file": (
        "d.arrow",
        _unpacked(
            "c-rk!u};H44E3c+h{6pKil86Bz=T?fsT19iKvgBi65s|Tl2pw}Bzza2z`)2Kf$jL<bb^5$OU}hU`#nGFmaEm}^&H>>?MeX@K$e4s6cWhr4^71w14bEsWBCF^=xg*6sISC)3VU2x2#!kVoJu`s&~G_TC3k@LerJgpu8auxg?ZgvV}B*w7lQkWvpbG`^t-mpyP>nD&Y62j8W*Owrs*EqW>Fhk-B*@i5L>e%;y4zJBjVWY+Naa)",
            "u=#4+*kNl}YlzoWwQ*P(>d0i&a~SvfCOab2a44JAtQRIR&o~2TH1jwU?fy};PvF}U_}!+#8Rp#{PvrD*qacPKV&&C__sYZQhiA@_e#fhE3n?ovM(wEb%-cKl-w46GV9q@J|M&Oz_tz__pML`Tu4IJ",
        ),
        "columnar-pickled-type",
    ),
    "pickled arrow stream": (
        "d.arrow",
        _unpacked(
            "c-nPP!AitH41LpWYpFdfQglDSgD3I4C%p^GB6wV?&Oxy4vK?^iclik({Hrm^X0!}$Aju??yu8GF@9zyT2TO?xIWiRVA~7k&pr|05ss$3#2htkcS5rR6kyOqV$7JjmS}z&WCy8^-ozVZZv!;wxCXD+ja|5q^f1|T+759s{hZ)DD&;3vi<KS#t%Iurf>h5uAcg}XhYu_zf>zbFwF$`f>vJuZXSBx{BvEBCXmz#0@+qQP&#>%cS",
            "Ue~lXU=_4Sp;WKQ5H<g;H)5%9s+X-~U(8bBc!eO$dC!S&|E9ao@Fy7#%Odh|KHTv_{S-HeV*C@ENp1XZCK$W%Lvp-7`yZ;|H>3",
        ),
        "columnar-pickled-type",
    ),
    "pickled parquet": (
        "d.parquet",
        _unpacked(
            "c-oay+iu!G5ZyJ%q7_m})wOI1Rj5j=R3gOC8kLGZj0upWB*Z4+_J$3`ZMc;LobUyG>{s+_`VCc|s=id}Cv<mhOfPxqN}idW%Q-Wn^%+=M5+xeR)QCvXLxkigM)z=0K>mpYnjrFs$Z49Cpr4qOW9x_<!+|BC-8;NnTU6ZNW`H6VBHM`aJtj}qd=Fl*#2Y4VnOObJlt;UGCF7eraFn8sWbw*z2jd=zQpb)U;~pY$rtKY6OR}y+",
            "C8?xUl%)AO5)%qdA%Y}IU$FEQtCkx3zhRU#9RLx5tt3HJ@u{e&NTfl=5nprIoZ|zQK4SHgpnk`{5AqKNZE}qweWQhHO!_GxB`L?jvg)mu{*3bH$UZw+FaW>=|GWn9z!*XWU<jol_Zc+dgc&7(BktH}@J-`_S(U(9;m!^io?lnq;2Va;b!Sr#q1oYlCgU#${sy~H-YS3t2OIoGSm!e6k{0y$2PkK)mc!6_=sYO1(W~JdYMeh;",
            "Sd}KHy7SB$+2#~@yj*EqTo&5(ar1e<+FUrf(b9f5yY99vw_B}f9do?|FW3to;xcT-aF}qN$?>v(t9yfHVKg|T_><F_ozvg+4@X|t1inABdE7Y9I{9wf)w(Tx)oT?N^|9{SEgoh=oG^U4*Q0PoKlBR8sabFSelfV-b7r%>-h4jwQp>^o>g{xr%H=a!Caa|B6K1dY2YvTv^k@AAThg}-",
        ),
        "columnar-pickled-type",
    ),
    "java class in parquet": (
        "d.parquet",
        _unpacked(
            "c-oaz&2G~`5MH~L6`&F=!j>&XsIpqCNNLDVokG;hy40!Dv`tbKCqW$6j!B%_POw8#r|O*}Pr-BWB#0B@$Rn`3PQqU=jO3a1eBaK@xAM9Un|Xef&+*wB&+*_90OBeG?lA`}NNi;udB8vB#SA8`<A+O&sRbgYnE6ToJ9lI^Hn6+DMGA5ZyRrpvzbCxB==bnBAzl*~6F2+2Qwi)aGm*KzqmFc-0+EaCzT+c)6(_b?kwJi8BhlIh",
            "wKSQElhRT~0cp%v0k<w;3eO6h@P!e+GD=fP{ht^qg9QMdB}cN3!@*NdQUHfR(qnDW!=gPtFv3Sh`NS&Uncs!{Qv(mVs3LsB8<mvsgT*xQ0h)xvY$8!~Z{%@2a^$icI`%N^${G2s>v-KrF2BB!1LPA3;cUWMvZHb620fe~pb6TwJrv;`^yNAmO)-?M9(CREFs!4%k#BF`+yZe8Hk;>WdEWW+$}?iQo(3Uoz{E}<+=E&V>Jawe",
            "VUOlC?GJoP;?WX6Y0TdjRVZ$dsL@DB+8!-LT;+<a_Kl#a+LcT9+^xnP^K4@K4Yzh!^^y51>KvcC=iYeV@YTL$QcmA+r*8Myn|3aYk`q^RPD}HQ!O*pf%@~<#Kyc*ih4w{$U{&;)9UCRXAN9MwzE=y*iiA_U8tI*im$Qo1M%z?9BgnsKwQ^*t8gcDbC$?gB)-Lot%REX(Pn1z#sN?e@@*0;^Y2}w_xLj6@IlqzU#ZIT^(1zL+",
            "o-V<}G}x!nUY^e)Pv)Vl9(+mn+wgD+>(m2rbA-Zo@160kJsRzzFdR-dCr%i-!(g*e%I30pDTD6|xiTI6;n(q>;U{$g;Ia",
        ),
        "columnar-java-class",
    ),
}
